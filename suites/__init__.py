"""Probes, one file each, in a folder per concern."""
