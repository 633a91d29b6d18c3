"""Probes of how a model's answers hold when its input is perturbed on purpose."""
