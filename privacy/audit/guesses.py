"""Guesses about canaries' coins from their scores, and how many of them are right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.errors import UsageError

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Guesses:
    """How often the coins of `canaries` were guessed, and rightly; the rest was abstained on."""

    canaries: int
    plus: int
    minus: int
    right: int

    @property
    def made(self) -> int:
        """Guesses made, of either kind."""
        return self.plus + self.minus


def guess(scores: ArrayLike, coins: ArrayLike, plus: int, minus: int) -> Guesses:
    """Guesses 'in' for the `plus` highest of scores [m], 'out' for the `minus` lowest; coins [m] say who was in.

    Of equal scores at the edge those are taken that are wrong: the count is then at most that of any order that knows
    no coins, so a bound from it holds, and the order of the arrays gives nothing away. Raises UsageError for input
    that is no scores and coins, and for more guesses than canaries.
    """
    values, inside = check_scores(scores, coins)
    if min(plus, minus) < 0 or plus + minus > len(values):
        raise UsageError(f"{plus} guesses 'in' and {minus} 'out' about {len(values)} canaries; give at most one each")
    return Guesses(len(values), plus, minus, _right(values, inside, plus) + _right(-values, ~inside, minus))


def check_scores(scores: ArrayLike, coins: ArrayLike) -> tuple[Floats, Bools]:
    """Both as arrays [m]. Raises UsageError where they do not pair up, a score is no number, or a coin no coin."""
    values, inside = np.asarray(scores, dtype=np.float64), np.asarray(coins)
    if values.ndim != 1 or values.shape != inside.shape:
        raise UsageError(f"scores {values.shape} and coins {inside.shape} of canaries; give one coin for each score")
    if np.isnan(values).any():
        raise UsageError(f"{int(np.isnan(values).sum())} of {len(values)} canaries have no score; leave out the probe")
    if inside.dtype != np.bool_ and not np.isin(inside, (0, 1)).all():
        raise UsageError("a canary's coin is neither 0 nor 1; restore the coins that training sealed")
    return values, inside.astype(np.bool_)


def _right(values: Floats, target: Bools, count: int) -> int:
    """Fewest targets among any `count` highest values."""
    if count == 0:
        return 0
    edge = np.partition(values, -count)[-count]
    above, tied = values > edge, values == edge
    wrong_tied = int((tied & ~target).sum())
    return int((above & target).sum()) + max(0, count - int(above.sum()) - wrong_tied)
