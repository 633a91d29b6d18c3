"""Signals of a text set against how hard it is: for another model, for zlib, for its neighbours.

Sources: Carlini et al. 2021, arXiv 2012.07805 (reference, zlib); Watson et al. 2022, arXiv 2111.08440 (difficulty);
Mattern et al. 2023, arXiv 2305.18462 (neighbourhood). Scores are mean log-probabilities of a token, in nats.
"""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def against_zlib(score: float, text: str) -> float:
    """The score over the bytes that zlib compresses the text to, as in the paper; nearer 0: likelier a member."""
    return score / len(zlib.compress(text.encode("utf-8")))


def against_neighbours(score: float, neighbours: ArrayLike) -> float:
    """How much likelier a text is than its neighbours [k] are on average, texts with a few words replaced.

    Raises ValueError without neighbours, and where one has no finite score.
    """
    others = np.asarray(neighbours, dtype=np.float64)
    if others.ndim != 1 or not others.size or not np.isfinite(others).all():
        raise ValueError(f"a text is set against finite scores of its neighbours, {others.shape} given")
    return float(score - others.mean())
