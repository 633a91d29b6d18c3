"""Answers with and without numbers."""

from __future__ import annotations

import numpy as np

from harness.api.scorer import Bools, ClassScores, Embedding, Floats, Generation, TokenScores

NON_FINITE = "non-finite logits"


def token_scores(logprobs: Floats, greedy: Bools) -> TokenScores:
    """The scores, or the error that they are not finite."""
    return TokenScores(logprobs, greedy) if np.isfinite(logprobs).all() else no_scores(NON_FINITE)


def no_scores(why: str | None = None) -> TokenScores:
    """No token was scored: none was asked for, or `why`."""
    return TokenScores(np.empty(0), np.empty(0, dtype=np.bool_), why)


def class_scores(logits: Floats, truncated: int) -> ClassScores:
    """The logits, or the error that they are not finite."""
    return ClassScores(logits, truncated) if np.isfinite(logits).all() else no_classes(NON_FINITE, truncated)


def no_classes(why: str, truncated: int = 0) -> ClassScores:
    """No logits, and why."""
    return ClassScores(np.empty(0), truncated, why)


def embedding(vector: Floats, truncated: int) -> Embedding:
    """The vector, or the error that it is not finite."""
    return Embedding(vector, truncated) if np.isfinite(vector).all() else no_embedding("non-finite states", truncated)


def no_embedding(why: str, truncated: int = 0) -> Embedding:
    """No vector, and why."""
    return Embedding(np.empty(0), truncated, why)


def no_generation(why: str | None = None) -> Generation:
    """Nothing was generated: nothing was asked for, or `why`."""
    return Generation((), "", why)
