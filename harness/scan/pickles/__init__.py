"""Pickles, read as the programs they are and never run."""
