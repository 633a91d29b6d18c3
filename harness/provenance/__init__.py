"""What a checkpoint was made of, and what its training claims to have kept private."""
