"""Drawings of what the rows of an audit show."""
