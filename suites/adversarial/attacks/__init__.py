"""Attacks by published recipes: the probe, its rows and its metrics."""
