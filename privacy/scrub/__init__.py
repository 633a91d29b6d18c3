"""Takes personal data out of texts: of training data before training, and of what a model writes."""
