"""Requests to encoders and to the heads on them: classes, choices, numbers, spans, vectors, gradients."""
