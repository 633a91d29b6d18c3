"""Pronouns and the occupations they refer to."""
