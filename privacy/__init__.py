"""Training with and without a privacy guarantee, and the means to audit that guarantee."""
