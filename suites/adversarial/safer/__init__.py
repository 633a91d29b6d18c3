"""A certified bound over sets of synonyms."""
