"""Membership: whether what a model says of a record tells that it was trained on it."""
