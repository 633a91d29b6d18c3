"""The only place that calls a model."""
