"""A version in MLflow's registry with its verdict on it; an alias moves on pass only."""
