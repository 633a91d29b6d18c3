"""The association test of Caliskan et al. 2017 (WEAT) and May et al. 2019 (SEAT), on associations already computed.

s(w) = mean cos(w, A) - mean cos(w, B) for a text w of the targets X or Y and the attributes A and B. Everything else
follows from the s: the effect size, its permutation test, and its interval (`interval.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from harness.api.scorer import Floats

MOST_EXACT = 100_000
"""Partitions up to which all are counted, and beyond which this many less one are drawn (May et al., weat.py)."""
_TIE = 1e-9
"""Sums that differ by less, relative to the largest that can be, are the same sum added in another order."""
_ROUNDING = 1e-6
"""Associations that spread less are all the same: cosines of vectors in float32 err by some 1e-8 to 1e-7."""
_CHUNK = 1 << 22
"""Random numbers held at once."""
_TRIES = 1 << 16
"""Subsets drawn by bits at once: few enough to stay in a core's cache, enough to hide what a call costs."""
_LEAST_CHANCE = 0.01
"""Share of random subsets that have the right size, below which drawing them by bits costs more than by order; equal
halves of 6,000 words have this much."""
_BITS = np.unpackbits(np.arange(256, dtype=np.uint8)[None], axis=0, bitorder="little").astype(np.float64)
"""Bits of all bytes, [8, 256]."""


@dataclass(frozen=True, slots=True)
class Permutation:
    """How an association compares with those of all, or of drawn, partitions of the targets into equal halves.

    Attributes:
        p: share of partitions whose sum over X is at least the observed one; ties count against the association.
        partitions: how many there were.
        exact: whether they are all.
        null_abs_effect: mean size of the effect over them: what nothing but chance gives.
    """

    p: float
    partitions: int
    exact: bool
    null_abs_effect: float


def associations(targets: Floats, first: Floats, second: Floats) -> Floats:
    """Associations s of each target [targets], from vectors [texts, width]. A vector of length 0 gives NaN."""
    exact = [vectors.astype(np.float64) for vectors in (targets, first, second)]
    with np.errstate(invalid="ignore", divide="ignore"):
        unit = [vectors / np.linalg.norm(vectors, axis=1, keepdims=True) for vectors in exact]
    return np.asarray((unit[0] @ unit[1].T).mean(axis=1) - (unit[0] @ unit[2].T).mean(axis=1))


def effect_size(x: Floats, y: Floats) -> float:
    """(mean of x - mean of y) / standard deviation of both together, ddof 1; NaN where that is 0 or rounding."""
    spread = float(np.concatenate([x, y]).std(ddof=1))
    return float(x.mean() - y.mean()) / spread if spread > _ROUNDING else math.nan


def by_word(values: Floats, words: Sequence[str]) -> Floats:
    """Mean of the values of each word, in order of appearance."""
    codes, names = pd.factorize(np.asarray(words, dtype=object))
    return np.asarray(np.bincount(codes, values, len(names)) / np.bincount(codes, minlength=len(names)))


def permutation(x: Floats, y: Floats, *, seed: int = 0, most: int = MOST_EXACT) -> Permutation:
    """The one-sided test of x [n] above y [m], over partitions into n and m: exact where there are at most `most`."""
    every: Floats = np.concatenate([x, y])
    count = math.comb(len(every), len(x))
    exact = count <= most
    sums = _all_sums(every, len(x)) if exact else _drawn_sums(every, len(x), most - 1, seed)
    reach = _TIE * float(np.abs(every).sum())
    hits = int(np.count_nonzero(sums >= x.sum() - reach))
    p = hits / count if exact else (hits + 1) / most
    spread = float(every.std(ddof=1))
    sums -= every.sum() * len(x) / len(every)  # in place: new memory costs more than what is computed
    away = float(np.abs(sums, out=sums).mean()) * (1 / len(x) + 1 / len(y))  # of the mean of x from that of y
    null = away / spread if spread > _ROUNDING else math.nan
    return Permutation(p, count if exact else most, exact, null)


def _all_sums(values: Floats, size: int) -> Floats:
    """Sums of all subsets of `size`: every subset of one half with every subset of the other that completes it."""
    middle = len(values) // 2
    left, right = _sums_by_size(values[:middle], size), _sums_by_size(values[middle:], size)
    pairs = ((left[k], right[size - k]) for k in range(size + 1) if k < len(left) and size - k < len(right))
    return np.concatenate([np.add.outer(first, second).ravel() for first, second in pairs])


def _sums_by_size(values: Floats, most: int) -> list[Floats]:
    """Sums of all subsets of 0, 1, ... values, up to `most` or all of them."""
    sums = [np.zeros(1)]
    for value in values:
        larger = [each + value for each in sums[:most]]
        sums = [
            sums[0],
            *(np.concatenate(both) for both in zip(sums[1:], larger, strict=False)),
            *larger[len(sums) - 1 :],
        ]
    return sums


def _drawn_sums(values: Floats, size: int, draws: int, seed: int) -> Floats:
    """Sums of `draws` random subsets of `size`, each subset equally likely."""
    rng = np.random.default_rng(seed)
    if math.comb(len(values), size) / 2 ** len(values) < _LEAST_CHANCE:
        return _by_order(values, size, draws, rng)
    return _by_bits(values, size, draws, rng)


def _by_bits(values: Floats, size: int, draws: int, rng: np.random.Generator) -> Floats:
    """Random bits say what is in a subset, those with another number of ones are dropped: all others are as likely.

    A byte of bits is looked up in a table of its 256 sums.
    """
    words = -(-len(values) // 64)
    padded = np.zeros(64 * words)
    padded[: len(values)] = values
    tables = padded.reshape(8 * words, 8) @ _BITS
    used = np.uint64(2 ** (len(values) - 64 * (words - 1)) - 1)
    found, left = [], draws
    while left > 0:
        drawn = rng.integers(2**64, size=(words, _TRIES), dtype=np.uint64)
        drawn[-1] &= used
        kept = np.flatnonzero(np.bitwise_count(drawn).sum(axis=0, dtype=np.uint16) == size)
        octets = drawn[:, kept].astype("<u8")[..., None].view(np.uint8).swapaxes(1, 2).reshape(8 * words, len(kept))
        sums = np.zeros(len(kept))
        for table, row in zip(tables, octets, strict=True):
            sums += table.take(row)
        found.append(sums[:left])
        left -= len(kept)
    return np.concatenate(found)


def _by_order(values: Floats, size: int, draws: int, rng: np.random.Generator) -> Floats:
    """The places of the smallest of random keys are in a subset."""
    rows = max(1, _CHUNK // len(values))
    found = []
    for start in range(0, draws, rows):
        keys = rng.random((min(rows, draws - start), len(values)), dtype=np.float32)
        chosen = np.argpartition(keys, size - 1, axis=1)[:, :size]
        found.append(values[chosen].sum(axis=1))
    return np.concatenate(found)
