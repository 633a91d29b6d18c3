"""Synonyms and perturbation sets of words, built as SAFER does (Ye, Gong & Liu 2020, arXiv:2005.14424).

Synonyms S_x of a word are its neighbours in a graph; B_x are all words that a path of synonyms leads to. The
perturbation set P_x is B_x where that has at most K words, and the K words of B_x nearest to x (x first) where not. In
a small B_x all words share one set, so that no synonym changes anything; in a large one sets overlap, and all have K
words.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from itertools import islice, pairwise

import numpy as np
from numpy.typing import NDArray

from harness.errors import UsageError
from suites.adversarial.resources.vectors import WordVectors
from suites.adversarial.safer.bound import overlap
from suites.adversarial.safer.word_shapes import usable

Singles = NDArray[np.float32]
Indices = NDArray[np.int64]
_BLOCK = 256
_HALF_DIGIT = 5e-7
"""Cosines count to six digits, so that the last bits of a float do not decide who is a synonym."""


class SynonymSets(ABC):
    """S_x and P_x of lower-case words. A word without synonyms has S_x = () and P_x = (x,)."""

    def __init__(self, set_size: int) -> None:
        self.set_size = set_size
        self._substitutes: dict[str, tuple[str, ...]] = {}
        self._overlaps: dict[str, float] = {}

    @abstractmethod
    def synonyms(self, word: str) -> tuple[str, ...]:
        """S_x: the words an attacker may put for `word`, without itself."""

    @abstractmethod
    def _connected(self, word: str) -> int:
        """Size of B_x; 1 for a word without synonyms."""

    @abstractmethod
    def _nearest(self, word: str, k: int) -> tuple[str, ...]:
        """The `k` words of B_x nearest to `word`, itself among them; all of B_x where it has no more."""

    def substitutes(self, word: str) -> tuple[str, ...]:
        """P_x: the words the smoothed classifier draws from, `word` among them."""
        if word not in self._substitutes:
            self._substitutes[word] = self._nearest(word, self.set_size) if self._connected(word) > 1 else (word,)
        return self._substitutes[word]

    def overlap(self, word: str) -> float:
        """The least share that P_x keeps in common with the perturbation set of a synonym (q_x in the paper)."""
        if self._connected(word) <= self.set_size:
            return 1.0
        if word not in self._overlaps:
            own = frozenset(self.substitutes(word))
            others = (frozenset(self.substitutes(other)) for other in self.synonyms(word))
            self._overlaps[word] = min((overlap(own, other) for other in others), default=1.0)
        return self._overlaps[word]


class GroupSynonyms(SynonymSets):
    """Synonyms from groups of words, all of a group being synonyms of each other; near is few steps, then alphabet.

    Words are compared in lower case; `left_out` counts those that cannot be used. Raises UsageError where none is left.
    """

    def __init__(self, groups: Iterable[Sequence[str]], set_size: int) -> None:
        super().__init__(set_size)
        self._neighbours: dict[str, set[str]] = {}
        unusable: set[str] = set()
        for group in groups:
            words = {word.lower() for word in group}
            good = {word for word in words if usable(word)}
            unusable |= words - good
            for word in good if len(good) > 1 else ():
                self._neighbours.setdefault(word, set()).update(good - {word})
        self.left_out = len(unusable)
        if not self._neighbours:
            raise UsageError(
                "no two synonyms can be used; give groups of words of two letters or more, without blanks, in a script "
                "that has upper and lower case"
            )
        self._sizes: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._neighbours)

    def synonyms(self, word: str) -> tuple[str, ...]:
        """The other words of all groups that `word` is in."""
        return tuple(sorted(self._neighbours.get(word, ())))

    def _connected(self, word: str) -> int:
        if word not in self._neighbours:
            return 1
        if word not in self._sizes:
            found = self._nearest(word, len(self._neighbours))
            self._sizes.update(dict.fromkeys(found, len(found)))
        return self._sizes[word]

    def _nearest(self, word: str, k: int) -> tuple[str, ...]:
        found, ring = [word], {word}
        seen = {word}
        while ring and len(found) < k:
            ring = set().union(*(self._neighbours[each] for each in ring)) - seen
            seen |= ring
            found += sorted(ring)
        return tuple(found[:k])


class VectorSynonyms(SynonymSets):
    """Synonyms are words whose vectors have a cosine of at least `similarity`; near is a high cosine.

    `vectors` are taken for the first `vocabulary` usable words, and lose their mean and their first `components`
    principal components (all-but-the-top, Mu & Viswanath 2018, arXiv:1702.01417). Raises UsageError for fewer than two
    words, for vectors that would be lost whole, and where no two words are synonyms.
    """

    def __init__(
        self, vectors: WordVectors, *, similarity: float, set_size: int, components: int, vocabulary: int
    ) -> None:
        super().__init__(set_size)
        places = list(islice((place for word, place in vectors.index.items() if usable(word)), vocabulary))
        if len(places) < 2:
            raise UsageError("word vectors: hold fewer than two lower-case words; give another file")
        width = vectors.matrix.shape[1]
        if components >= width:
            raise UsageError(f"word vectors: have {width} components, all of which would be lost; lower components")
        self.words = tuple(vectors.words[place] for place in places)
        self._index = {word: place for place, word in enumerate(self.words)}
        self._floor = similarity - _HALF_DIGIT
        self._unit = all_but_the_top(vectors.unit[places], components)
        self._label = connected(self._unit, self._floor)
        if int(self._label.max()) + 1 == len(self.words):
            raise UsageError(f"word vectors: no two words have a cosine of {similarity:g}; lower similarity")
        order = np.argsort(self._label, kind="stable")
        bounds = np.searchsorted(self._label[order], np.arange(int(self._label.max()) + 2))
        self._members = [order[start:end] for start, end in pairwise(bounds)]

    def __len__(self) -> int:
        return len(self.words)

    def synonyms(self, word: str) -> tuple[str, ...]:
        """The words of cosine `similarity` or more, in the order of the vectors."""
        if self._connected(word) == 1:
            return ()
        members, cosines = self._cosines(word)
        near = members[(cosines >= self._floor) & (members != self._index[word])]
        return tuple(self.words[place] for place in near)

    def _connected(self, word: str) -> int:
        place = self._index.get(word)
        return 1 if place is None else len(self._members[self._label[place]])

    def _nearest(self, word: str, k: int) -> tuple[str, ...]:
        members, cosines = self._cosines(word)
        cosines[members == self._index[word]] = np.inf
        order = np.argsort(-cosines.round(6), kind="stable")[:k]
        return tuple(self.words[place] for place in members[order])

    def _cosines(self, word: str) -> tuple[Indices, Singles]:
        """The words of B_x and their cosines to `word`; always the same product, so always the same bits."""
        place = self._index[word]
        members = self._members[self._label[place]]
        return members, self._unit[members] @ self._unit[place]


def all_but_the_top(vectors: Singles, components: int) -> Singles:
    """Vectors (n, d) at length 1 without their mean and first principal components; a zero vector stays zero."""
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    if components:
        _, axes = np.linalg.eigh(centred.T @ centred)
        top = axes[:, -components:]
        centred -= centred @ top @ top.T
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.asarray(centred / np.where(lengths > 1e-12, lengths, 1.0), dtype=np.float32)


def connected(unit: Singles, floor: float) -> Indices:
    """The number of each vector's component, [n], where vectors (n, d) of cosine `floor` or more are joined."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n = len(unit)
    label = np.arange(n)
    for start in range(0, n, _BLOCK):
        near = unit[start : start + _BLOCK] @ unit[start:].T >= floor
        rows, columns = np.divmod(np.flatnonzero(near), n - start)  # several times as fast as two-dimensional nonzero
        first, second = label[rows + start], label[columns + start]
        if (first != second).any():
            edges = coo_array((np.ones(len(first), np.bool_), (first, second)), shape=(n, n))
            label = connected_components(edges, directed=False)[1][label]
    return np.unique(label, return_inverse=True)[1].astype(np.int64)
