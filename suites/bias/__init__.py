"""What a checkpoint associates with groups of people."""
