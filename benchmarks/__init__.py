"""Measurements side by side with peers: the same work, the same checkpoint, one run."""
