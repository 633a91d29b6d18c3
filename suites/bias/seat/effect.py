"""The association test of Caliskan et al. 2017 (WEAT) and May et al. 2019 (SEAT), on associations already computed.

s(w) = mean cos(w, A) - mean cos(w, B) for a text w of the targets X or Y and the attributes A and B. Everything else
follows from the s: the effect size and its permutation test. There is no interval of one effect: percentiles of a
bootstrap over words err in 5 to 8 % on one side at ten words a side, three times what they may.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, combinations

import numpy as np
import pandas as pd

from harness.api.scorer import Floats

MOST_EXACT = 100_000
"""Partitions up to which all are counted, and beyond which this many less one are drawn (May et al., weat.py)."""
_TIE = 1e-9
"""Sums that differ by less, relative to the largest that can be, are the same sum added in another order."""
_CHUNK = 1 << 22
"""Random numbers held at once."""


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
    with np.errstate(invalid="ignore", divide="ignore"):
        unit = [vectors / np.linalg.norm(vectors, axis=1, keepdims=True) for vectors in (targets, first, second)]
    return np.asarray((unit[0] @ unit[1].T).mean(axis=1) - (unit[0] @ unit[2].T).mean(axis=1))


def effect_size(x: Floats, y: Floats) -> float:
    """(mean of x - mean of y) / standard deviation of both together, ddof 1; NaN where that is 0."""
    spread = float(np.concatenate([x, y]).std(ddof=1))
    return float(x.mean() - y.mean()) / spread if spread > 0 else math.nan


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
    hits = int((sums >= x.sum() - reach).sum())
    p = hits / count if exact else (hits + 1) / most
    spread = float(every.std(ddof=1))
    means = sums / len(x) - (every.sum() - sums) / len(y)
    null = float(np.abs(means).mean()) / spread if spread > 0 else math.nan
    return Permutation(p, count if exact else most, exact, null)


def _all_sums(values: Floats, size: int) -> Floats:
    """Sums of all subsets of `size`."""
    indices = chain.from_iterable(combinations(range(len(values)), size))
    chosen = np.fromiter(indices, dtype=np.int16).reshape(-1, size)
    return np.asarray(values[chosen].sum(axis=1))


def _drawn_sums(values: Floats, size: int, draws: int, seed: int) -> Floats:
    """Sums of `draws` random subsets of `size`, each subset equally likely."""
    rng, rows = np.random.default_rng(seed), max(1, _CHUNK // len(values))
    found = []
    for start in range(0, draws, rows):
        keys = rng.random((min(rows, draws - start), len(values)), dtype=np.float32)
        chosen = np.argpartition(keys, size - 1, axis=1)[:, :size]
        found.append(values[chosen].sum(axis=1))
    return np.concatenate(found)
