"""Inputs that begin alike are laid out as a tree, so that what they share is read once."""
