"""Extraction: whether a model, given the start of a training text, writes on as the text does."""
