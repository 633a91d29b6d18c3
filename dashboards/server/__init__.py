"""The web server: its launcher, its process, and who is let in."""
