"""Intervals and paired tests: numbers in, numbers out."""
