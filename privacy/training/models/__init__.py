"""What is trained: the model, which of its weights, its objective, and what of it is kept."""
