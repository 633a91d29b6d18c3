"""Misspellings, scanning errors, look-alike and invisible letters."""
