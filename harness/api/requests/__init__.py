"""Requests beyond those in `harness.api.scorer`, a file per subject."""
