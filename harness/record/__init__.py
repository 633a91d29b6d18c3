"""An audit on disk: manifest, rows, environment."""
