"""Texts to token rows, cut to the model's length, with characters where somebody asks."""
