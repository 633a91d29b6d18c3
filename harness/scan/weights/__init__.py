"""Weights by their headers, and their numbers as they lie in the file, block by block."""
