"""Lower bounds on epsilon from one training: every canary was in or out by a fair coin of its own.

Sources: Steinke, Nasr & Jagielski 2023 (arXiv 2305.08846), theorem 5.2; Mahloujifar, Melis & Chaudhuri 2025 (ICML,
arXiv 2410.22235), theorem 3.2 and algorithm 3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from harness.errors import UsageError
from privacy.audit.gaussian import gaussian_epsilon, least_false
from privacy.audit.guesses import Guesses, guess
from privacy.audit.result import Audited, Bound, check_levels
from privacy.audit.search import largest_excluded

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def audit_one_run(
    scores: ArrayLike,
    coins: ArrayLike,
    counts: Sequence[tuple[int, int]],
    delta: float,
    confidence: float = 0.95,
    bound: Bound = Bound.ONE_RUN,
) -> Audited:
    """The best lower bound over `counts`, pairs of how many guesses 'in' and 'out', fixed before the scores were seen.

    Scores [m] are higher the likelier a canary was in; coins [m] say whether it was. Each different pair gets an equal
    share of the allowed error (Bonferroni). Raises UsageError as `guess` does, and for no pairs.
    """
    check_levels(delta, confidence, bound)
    pairs = list(dict.fromkeys(counts))
    if not pairs:
        raise UsageError("no numbers of guesses to audit with; give at least one pair of 'in' and 'out'")
    error = (1 - confidence) / len(pairs)
    made = [guess(scores, coins, plus, minus) for plus, minus in pairs]
    lowers = [lower_bound(each, delta, error, bound) for each in made]
    best = int(np.argmax(lowers))
    chosen, lower = made[best], lowers[best]
    return Audited(
        lower=lower,
        delta=delta,
        confidence=confidence,
        bound=bound,
        canaries=chosen.canaries,
        guesses=chosen.made,
        right=chosen.right,
        plus=chosen.plus,
        minus=chosen.minus,
        tried=len(pairs),
        ceiling=ceiling(chosen.canaries, delta, confidence, bound, len(pairs)),
        heuristic=False,
    )


def ceiling(
    canaries: int, delta: float, confidence: float = 0.95, bound: Bound = Bound.ONE_RUN, tried: int = 1
) -> float:
    """The largest lower bound that `canaries` can show in one run: all are guessed, every guess is right."""
    check_levels(delta, confidence, bound)
    return lower_bound(Guesses(canaries, canaries, 0, canaries), delta, (1 - confidence) / tried, bound)


def lower_bound(guesses: Guesses, delta: float, error: float, bound: Bound = Bound.ONE_RUN) -> float:
    """Epsilon is at least this at delta, wrong in at most a share `error` of all trainings."""
    key = (guesses.canaries, guesses.made, guesses.right)
    if bound is Bound.ONE_RUN:
        return _approximate(*key, delta, error)
    if bound is Bound.ONE_RUN_GAUSSIAN:
        return gaussian_epsilon(_gaussian(*key, error), delta)
    raise UsageError(f"{bound.value} is no bound from one run; choose ONE_RUN or ONE_RUN_GAUSSIAN")


def p_values(canaries: int, made: int, right: int, epsilons: Floats, delta: float) -> Floats:
    """Chance at most of `right` or more right guesses of `made` under (epsilon, delta)-DP, for epsilons [e].

    P[W >= v] + 2 m delta max_i P[v > W >= v - i] / i with W ~ Binomial(made, e^eps / (1 + e^eps)), at most 1.
    """
    from scipy.stats import binom

    chance = expit(epsilons)
    tail = binom.sf(right - 1, made, chance)
    if delta == 0 or right == 0:
        return np.asarray(np.minimum(1.0, tail), dtype=np.float64)
    below = np.arange(right - 1, -1, -1)
    windows = np.cumsum(binom.pmf(below[None, :], made, chance[:, None]), axis=1)
    worst = (windows / np.arange(1, right + 1)).max(axis=1)
    return np.asarray(np.minimum(1.0, tail + 2 * canaries * delta * worst), dtype=np.float64)


def gaussian_excluded(canaries: int, made: int, right: int, mus: Floats, error: float) -> Bools:
    """Which of mus [e] cannot give `right` or more right guesses of `made` with a chance of `error` or more."""
    return shares_excluded(canaries, made, right, lambda true: least_false(true, mus), np.ones(len(mus)), error)


def shares_excluded(
    canaries: int, made: int, right: int, least: Callable[[Floats], Floats], one: Floats, error: float
) -> Bools:
    """Which trade-off curves [e] cannot give `right` or more right guesses of `made` with a chance of `error` or more.

    `least`: least false-positive rates [e] that the curves allow at true-positive rates [e]; `one`: ones [e].

    With p_j the chance of exactly j right, in units of a random canary: r_i = sum over j >= i of p_j j / m is its share
    right, h_i = sum of p_j (made - j) / m its share wrong. The trade-off curve asks h_i >= f(r_(i+1)). From a tail of
    `error` at `right`, the least that must lie below it is added step by step; more than all chance there is excludes.
    """
    if made == 0 or right == 0:
        return np.zeros(len(one), dtype=np.bool_)
    hit = one * (error * right / canaries)
    miss = one * (error * (made - right) / canaries)
    for count in range(right - 1, -1, -1):
        more = np.maximum(miss, least(np.minimum(hit, 1.0)))
        hit = hit + count / (made - count) * (more - miss)
        miss = more
    return np.asarray(hit + miss > made / canaries, dtype=np.bool_)


@lru_cache(maxsize=4096)
def _approximate(canaries: int, made: int, right: int, delta: float, error: float) -> float:
    return largest_excluded(lambda epsilons: p_values(canaries, made, right, epsilons, delta) <= error)


@lru_cache(maxsize=4096)
def _gaussian(canaries: int, made: int, right: int, error: float) -> float:
    return largest_excluded(partial(gaussian_excluded, canaries, made, right, error=error))
