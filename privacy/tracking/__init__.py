"""A finished training in MLflow."""
