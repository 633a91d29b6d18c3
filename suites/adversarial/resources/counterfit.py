"""Counter-fitting (Mrkšić et al. 2016, arXiv:1603.00892): synonyms are pulled together, antonyms pushed apart.

Of the paper's objective k1·AR + k2·SA + k3·VSP, over cosine distances d of unit vectors:

- antonym repel, for pairs of antonyms: max(0, δ - d);
- synonym attract, for pairs of synonyms: max(0, d - γ);
- vector space preservation, for every word and each other word within ρ of it at first: max(0, d - d at first).

Each step adds to a word the mean of the negative gradients of its terms that are not zero, and makes it a unit vector
again, as the authors' program does, all constraints at once. A pair that is both counts as antonyms, and is not
preserved either. Unlike the program, preservation pulls on both words of a pair, as the paper has it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from harness.errors import UsageError
from suites.adversarial.resources.vectors import WordVectors, open_text

Doubles = NDArray[np.float64]
Pairs = NDArray[np.int64]
_BLOCK = 512


@dataclass(frozen=True, slots=True)
class Settings:
    """The paper's values (section 2). `batch`: constraints per step, None for all; smaller ones are drawn by `seed`."""

    repel: float = 0.1
    attract: float = 0.1
    preserve: float = 0.1
    delta: float = 1.0
    gamma: float = 0.0
    rho: float = 0.2
    epochs: int = 20
    batch: int | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Constraints:
    """Directed pairs, one row per term of one word: `moved` (m,), `other` (m,), and in which direction and bound.

    A term is active where sign·(d - bound) > 0; its word then goes by weight·sign·(other - cos·moved).
    """

    moved: Pairs
    other: Pairs
    sign: Doubles
    bound: Doubles
    weight: Doubles

    def __len__(self) -> int:
        return len(self.moved)

    def at(self, rows: Pairs) -> Constraints:
        """Only the given rows."""
        return Constraints(self.moved[rows], self.other[rows], self.sign[rows], self.bound[rows], self.weight[rows])


def read_pairs(paths: Iterable[Path]) -> Iterator[tuple[str, str]]:
    """Pairs of words, two a line separated by blanks, gzip or plain. Raises UsageError naming the line."""
    for path in paths:
        if not path.is_file():
            raise UsageError(f"{path}: does not exist; give a file with two words a line")
        with open_text(path) as lines:
            for number, line in enumerate(lines, 1):
                words = line.split()
                if not words:
                    continue
                if len(words) != 2:
                    raise UsageError(f"{path}, line {number}: {len(words)} words instead of two")
                yield words[0], words[1]


def counterfit(
    vectors: WordVectors,
    synonyms: Iterable[tuple[str, str]],
    antonyms: Iterable[tuple[str, str]],
    settings: Settings | None = None,
) -> WordVectors:
    """Counter-fitted unit vectors of the same words. Pairs with a word that has no vector are left out.

    Raises UsageError where no pair is left.
    """
    chosen = settings or Settings()
    start = vectors.unit.astype(np.float64)
    constraints = make_constraints(start, _known(vectors, synonyms), _known(vectors, antonyms), chosen)
    random = np.random.default_rng(chosen.seed)
    unit = start
    for _ in range(chosen.epochs):
        for batch in _batches(constraints, chosen.batch, random):
            unit = step(unit, batch)
    return WordVectors(vectors.words, unit.astype(np.float32))


def make_constraints(unit: Doubles, synonyms: Pairs, antonyms: Pairs, settings: Settings) -> Constraints:
    """The terms of the objective over `unit` vectors (n, d), for undirected pairs (m, 2) of their indices."""
    if not len(synonyms) and not len(antonyms):
        raise UsageError("counter-fitting: no pair of synonyms or antonyms has vectors for both of its words")
    n = len(unit)
    apart = _keys(antonyms, n)
    together = np.setdiff1d(_keys(synonyms, n), apart)
    kept = np.setdiff1d(_keys(close_pairs(unit, settings.rho), n), apart) if settings.preserve > 0 else apart[:0]
    keys = np.concatenate([apart, together, kept])
    moved, other = np.divmod(keys, n)
    counts = (len(apart), len(together), len(kept))
    bound = np.repeat([settings.delta, settings.gamma, 0.0], counts)
    if len(kept):
        bound[-len(kept) :] = 1 - _cosines(unit, moved[-len(kept) :], other[-len(kept) :])
    sign = np.repeat([-1.0, 1.0, 1.0], counts)
    return Constraints(
        moved, other, sign, bound, np.repeat([settings.repel, settings.attract, settings.preserve], counts)
    )


def step(unit: Doubles, terms: Constraints) -> Doubles:
    """Unit vectors (n, d) after one step on these terms."""
    n = len(unit)
    cosines = _cosines(unit, terms.moved, terms.other)
    active = terms.sign * (1 - cosines - terms.bound) > 1e-12
    moved, other = terms.moved[active], terms.other[active]
    force = (terms.weight * terms.sign)[active]
    count = np.maximum(np.bincount(moved, minlength=n), 1)[:, None]
    pull = sparse.csr_array((force, (moved, other)), shape=(n, n)) @ unit
    back = np.bincount(moved, weights=force * cosines[active], minlength=n)[:, None] * unit
    after = unit + (pull - back) / count
    lengths = np.linalg.norm(after, axis=1, keepdims=True)
    return np.asarray(after / np.where(lengths > 0, lengths, 1.0))


def close_pairs(unit: Doubles, rho: float) -> Pairs:
    """Pairs (m, 2), first index below the second, of vectors (n, d) whose cosine distance is at most `rho`."""
    single = unit.astype(np.float32)
    found = [np.empty((0, 2), np.int64)]
    for start in range(0, len(unit), _BLOCK):
        # single precision finds the candidates; the bound itself is checked in double
        rows, columns = np.nonzero(single[start : start + _BLOCK] @ single[start:].T >= 1 - rho - 1e-5)
        upper = rows < columns
        found.append(np.stack([rows[upper], columns[upper]], axis=1) + start)
    pairs = np.concatenate(found)
    return pairs[1 - _cosines(unit, pairs[:, 0], pairs[:, 1]) <= rho]


def _cosines(unit: Doubles, first: Pairs, second: Pairs) -> Doubles:
    out = np.empty(len(first))
    for start in range(0, len(first), 1 << 17):
        part = slice(start, start + (1 << 17))
        out[part] = np.einsum("ij,ij->i", unit[first[part]], unit[second[part]])
    return out


def _known(vectors: WordVectors, pairs: Iterable[tuple[str, str]]) -> Pairs:
    index = vectors.index
    known = [(index[a], index[b]) for a, b in pairs if a != b and a in index and b in index]
    return np.array(known, dtype=np.int64).reshape(-1, 2)


def _keys(pairs: Pairs, n: int) -> Pairs:
    """Both directions of every pair, each once, as moved·n + other, sorted."""
    return np.unique(np.concatenate([pairs[:, 0] * n + pairs[:, 1], pairs[:, 1] * n + pairs[:, 0]]))


def _batches(terms: Constraints, size: int | None, random: np.random.Generator) -> Iterator[Constraints]:
    if size is None:
        yield terms
        return
    if size < 1:
        raise UsageError(f"counter-fitting: batch is {size}; give at least 1, or none for all constraints at once")
    order = random.permutation(len(terms))
    for start in range(0, len(order), size):
        yield terms.at(order[start : start + size])
