"""How good a checkpoint is at its own task."""
