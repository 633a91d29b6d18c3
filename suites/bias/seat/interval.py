"""The interval of one association effect, over the words that the targets are a sample of.

SEAT's effect is twice the correlation of an association with the side of its word, and so a monotone function of
Cohen's delta, the difference of the sides in standard deviations within them: d = delta / sqrt(1 + share (1 - share)
delta^2), with `share` of the words on the first side. Delta's interval is the noncentral t's (Steiger & Fouladi 1997),
exact for normal associations of one variance. Others make the standard deviation vary more than its degrees of freedom
say, so these are cut to what they are under an excess kurtosis of `KURTOSIS` (Box 1953).

Attributes, sentences and model are taken as given: only the words of the targets could have been others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from scipy.optimize import brentq
from scipy.special import nctdtr

from harness.api.scorer import Floats
from harness.stats.intervals import Interval, Method
from suites.bias.seat.effect import by_word, effect_size

KURTOSIS = 6.0
"""Excess kurtosis that associations may have: that of an exponential, and of a t with 5 degrees of freedom."""
FEWEST_WORDS = 3
"""Words of a side; of fewer the interval is all that an effect can be."""
_SPREAD = 1e-6
"""Words that spread less within their sides are all the same, but for rounding."""
_FARTHEST = 1000.0
"""A t beyond is taken for this one: its effect is the farthest there is, but for a millionth."""


def effect_interval(
    sides: tuple[Floats, Floats], words: tuple[Sequence[str], Sequence[str]], level: float = 0.95
) -> Interval | None:
    """Of `effect_size` of the associations of both sides [n, m], each text about the word at its place.

    Texts of one word are not independent: t is over the words' means, and its delta is taken to standard deviations
    over texts by the ratio of the two. None where a side has fewer than `FEWEST_WORDS` words, or they do not spread.
    """
    means = tuple(by_word(side, names) for side, names in zip(sides, words, strict=True))
    n, m = map(len, means)
    within, of_texts = _pooled(*means), _pooled(*sides)
    if min(n, m) < FEWEST_WORDS or min(within, of_texts) <= _SPREAD:
        return None
    error = within * math.sqrt(1 / n + 1 / m)
    df = (n + m - 2) * 2 / (2 + KURTOSIS)
    ends = noncentrality(float(means[0].mean() - means[1].mean()) / error, df, level)
    share = len(sides[0]) / sum(map(len, sides))
    low, high = (_effect(end * error / of_texts, share) for end in ends)
    value = effect_size(*sides)
    return Interval(min(low, value), max(high, value), Method.NONCENTRAL_T, level)


def noncentrality(t: float, df: float, level: float = 0.95) -> tuple[float, float]:
    """Interval of a t's noncentrality: were it one of the ends, a t as far on the other side has half of the error."""
    tail, t = (1 - level) / 2, min(max(t, -_FARTHEST), _FARTHEST)
    return _where(1 - tail, t, df), _where(tail, t, df)


def _where(chance: float, t: float, df: float) -> float:
    """The noncentrality under which a t of at most this one has this chance; it falls with the noncentrality."""
    reach = 4 * (1 + abs(t) / 4)
    while not nctdtr(df, t - reach, t) >= chance >= nctdtr(df, t + reach, t):
        reach *= 1.5
    return float(brentq(lambda end: float(nctdtr(df, end, t)) - chance, t - reach, t + reach, xtol=1e-10))


def _effect(delta: float, share: float) -> float:
    """SEAT's effect of a Cohen's delta: the difference over the standard deviation of both sides together."""
    return delta / math.sqrt(1 + share * (1 - share) * delta**2)


def _pooled(x: Floats, y: Floats) -> float:
    """Standard deviation within the sides."""
    squares = ((x - x.mean()) ** 2).sum() + ((y - y.mean()) ** 2).sum()
    return math.sqrt(float(squares) / max(1, len(x) + len(y) - 2))
