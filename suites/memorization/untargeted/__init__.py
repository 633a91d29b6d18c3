"""Untargeted extraction: what a model writes when it is asked for nothing, and how much of that it was trained on."""
