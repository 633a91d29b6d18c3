"""Data sets and what they may hold: read as the text they are, checked against a schema, by digest."""
