"""Guesses which canaries were planted, made from scores alone: before any coin is looked at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Signs = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Guesses:
    """1: planted, -1: not planted, 0: no guess; [canaries]."""

    signs: Signs

    @property
    def count(self) -> int:
        """How many canaries a guess was made for."""
        return int(np.count_nonzero(self.signs))

    def right(self, planted: NDArray[np.bool_]) -> int:
        """How many of the guesses the coins agree with; [canaries]."""
        return int(((self.signs == 1) & planted).sum() + ((self.signs == -1) & ~planted).sum())


def best_guesses(scores: NDArray[np.float64], above: int, below: int) -> Guesses:
    """`above` canaries of the highest scores are said to be planted, `below` of the lowest not to be; [canaries].

    Equal scores go by their place in the list, which says nothing of the coins. Raises ValueError where there are fewer
    canaries than guesses.
    """
    if above < 0 or below < 0 or above + below > len(scores):
        raise ValueError(f"{above} + {below} guesses of {len(scores)} canaries")
    order = np.argsort(scores, kind="stable")
    signs = np.zeros(len(scores), dtype=np.int64)
    signs[order[:below]] = -1
    signs[order[len(scores) - above :]] = 1
    return Guesses(signs)
