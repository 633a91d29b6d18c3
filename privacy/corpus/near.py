"""Records that are nearly the same: candidates by MinHash (Broder 1997; rensa), each checked by exact Jaccard index.

Shingles are runs of five words. Signatures and shingles lie in a scratch folder, so memory holds some 40 bytes for each
record. Of two records that share a share J of their shingles, a pair is looked at with chance 1 - (1 - J^6)^21.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import UsageError
from privacy.corpus.words import Words

SHINGLE = 5
"""Words of a shingle: what deduplication of web text mostly takes (Lee et al. 2022)."""
BANDS, ROWS = 21, 6
"""126 numbers a record: 99.8 % of pairs at 0.8 are looked at, 1.5 % of those at 0.3, which are the costly many."""
_SEED = 20221101
_ALL_PAIRS = 12
"""Records that share a band are all compared where they are so few; beyond, each with the first and the one before."""
MISSING = "near duplicates need the package rensa; pip install 'assay[data]'"


def available() -> bool:
    """Whether rensa is installed."""
    return find_spec("rensa") is not None


@dataclass(frozen=True, slots=True)
class Near:
    """Records that are nearly the same as another one."""

    clusters: list[list[int]]
    """Records by number, those that hang together by pairs above the threshold; largest first."""
    judged: int
    """Records with a shingle."""
    pairs: int
    """Candidates whose index was computed."""

    @property
    def extra(self) -> int:
        """Records that would go if one of each cluster stayed."""
        return sum(len(cluster) - 1 for cluster in self.clusters)


class NearDuplicates:
    """Signatures of records as they come, on disk; then clusters."""

    def __init__(self, scratch: Path, threshold: float) -> None:
        """Raises UsageError where rensa is missing, or the threshold is none."""
        if not available():
            raise UsageError(MISSING)
        if not 0.5 <= threshold <= 1:
            raise UsageError(f"threshold: {threshold:g}; choose between 0.5 and 1, below it few pairs are looked at")
        self._threshold = threshold
        self._signatures, self._shingles = scratch / "signatures", scratch / "shingles"
        self._starts = [0]
        self._files = [path.open("wb") for path in (self._signatures, self._shingles)]

    def add(self, words: Words) -> None:
        """Words of some records, in order."""
        from rensa import RMinHash

        runs, starts = words.runs(SHINGLE)
        rows = RMinHash.digest_matrix_from_flat_token_hashes(runs, starts.astype(np.uint64), BANDS * ROWS, _SEED)
        np.array(rows.to_rows(), dtype=np.uint32).tofile(self._files[0])
        for start, end in pairwise(starts):
            different = np.unique(runs[start:end])
            different.tofile(self._files[1])
            self._starts.append(self._starts[-1] + len(different))

    def clusters(self, first: NDArray[np.int64]) -> Near:
        """Among the records `first`, one of each group of equal ones."""
        for file in self._files:
            file.close()
        starts = np.array(self._starts, dtype=np.int64)
        judged = np.sort(first[np.diff(starts)[first] > 0])
        if len(judged) < 2:
            return Near([], len(judged), 0)
        signatures = np.memmap(self._signatures, np.uint32, "r", shape=(len(starts) - 1, BANDS * ROWS))
        shingles = np.memmap(self._shingles, np.uint64, "r")
        joined, pairs = _Joined(), 0
        for band in range(BANDS):
            for one, other in _candidates(signatures[judged, band * ROWS : (band + 1) * ROWS]):
                left, right = int(judged[one]), int(judged[other])
                if joined.root(left) == joined.root(right):
                    continue
                pairs += 1
                index = jaccard(shingles[starts[left] : starts[left + 1]], shingles[starts[right] : starts[right + 1]])
                if index >= self._threshold:
                    joined.join(left, right)
        return Near(joined.clusters(), len(judged), pairs)


def jaccard(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Shared over all elements of two arrays without repeats."""
    small, large = sorted((len(one), len(other)))
    if not large:
        return 0.0
    shared = len(np.intersect1d(one, other, assume_unique=True)) if small else 0
    return shared / (small + large - shared)


def _candidates(band: NDArray[np.uint32]) -> Iterator[tuple[int, int]]:
    """Pairs of rows whose numbers in this band are the same."""
    rows = np.ascontiguousarray(band).view(np.dtype((np.void, band.dtype.itemsize * band.shape[1]))).ravel()
    _, inverse, counts = np.unique(rows, return_inverse=True, return_counts=True)
    order = np.argsort(inverse, kind="stable")
    ends = np.cumsum(counts)
    for group in np.flatnonzero(counts > 1):
        members = order[ends[group] - counts[group] : ends[group]].tolist()
        yield from _pairs(members)


def _pairs(members: Sequence[int]) -> Iterator[tuple[int, int]]:
    for place, other in enumerate(members[1:], 1):
        if len(members) <= _ALL_PAIRS:
            yield from ((one, other) for one in members[:place])
        else:
            yield members[0], other
            if place > 1:
                yield members[place - 1], other


class _Joined:
    """Which records hang together."""

    def __init__(self) -> None:
        self._parent: dict[int, int] = {}

    def root(self, one: int) -> int:
        """Stands for all that hang together with `one`."""
        while (parent := self._parent.get(one, one)) != one:
            self._parent[one] = self._parent.get(parent, parent)
            one = parent
        return one

    def join(self, one: int, other: int) -> None:
        low, high = sorted((self.root(one), self.root(other)))
        self._parent[high] = low
        self._parent.setdefault(low, low)

    def clusters(self) -> list[list[int]]:
        """All that have a neighbour, largest first."""
        found: dict[int, list[int]] = {}
        for one in sorted(self._parent):
            found.setdefault(self.root(one), []).append(one)
        return sorted((each for each in found.values() if len(each) > 1), key=lambda each: (-len(each), each[0]))
