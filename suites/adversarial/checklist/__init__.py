"""Behaviour tests by templates: minimum functionality, invariance, direction."""
