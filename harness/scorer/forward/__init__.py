"""How a model is read: batches by token budget and memory, then vectors of texts or log-probabilities of positions."""
