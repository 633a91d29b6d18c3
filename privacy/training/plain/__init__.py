"""Training without a guarantee."""
