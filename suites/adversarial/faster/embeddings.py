"""TextAttack's WordEmbeddingDistance: the distances of a step's candidates worked out together.

Stock 0.3.11 makes two tensors for each pair of words. Decisions are stock's: where a distance comes near the threshold,
stock's own number decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from suites.adversarial.faster.memo import Memo, Same, class_name, twin_of

_EMBEDDING = "textattack.shared.word_embeddings.WordEmbedding"
_NEAR = 1e-4
"""Stock's float32 sums differ from ours by less, relative to vectors of length 1."""


def measure_together(stock: Any, memo: Memo) -> Any:
    """A WordEmbeddingDistance that decides as this one does; itself over other vectors than stock's in an array."""
    if class_name(stock.embedding) != _EMBEDDING or not isinstance(stock.embedding.embedding_matrix, np.ndarray):
        return stock
    twin = twin_of(stock)
    distances = _Distances(stock, memo)
    if stock.min_cos_sim:
        twin.get_cos_sim = distances.get
    else:
        twin.get_mse_dist = distances.get
    twin._check_constraint_many = _DistanceMany(twin, distances)
    return twin


class _DistanceMany:
    """`WordEmbeddingDistance._check_constraint_many`: the distances are made ready, then stock code decides."""

    def __init__(self, twin: Any, distances: _Distances) -> None:
        self._twin = twin
        self._distances = distances

    def __call__(self, transformed_texts: Sequence[Any], reference_text: Any) -> list[Any]:
        wanted: dict[str, dict[str, None]] = {}
        reference = reference_text.words
        for text in transformed_texts:
            words = text.words
            for i in text.attack_attrs.get("newly_modified_indices", ()):
                if 0 <= i < len(reference) and i < len(words):
                    wanted.setdefault(reference[i], {})[words[i]] = None
        for word, others in wanted.items():
            self._distances.prepare(word, list(others))
        check = self._twin._check_constraint
        return [text for text in transformed_texts if check(text, reference_text)]


class _Distances:
    """Cosines or squared distances by the indices of two words."""

    def __init__(self, stock: Any, memo: Memo) -> None:
        self._stock = stock
        self._embedding = stock.embedding
        self._cosine = bool(stock.min_cos_sim)
        self._limit = float(stock.min_cos_sim or stock.max_mse_dist)
        self._table = memo.table("word distance", Same(stock.embedding), self._cosine, self._limit)

    def get(self, a: int, b: int) -> float:
        """`get_cos_sim` or `get_mse_dist`, exact where it is near the threshold."""
        found = self._table.get((a, b))
        if found is None:
            found = self._exact(a, b)
            self._table.keep((a, b), found)
        return float(found)

    def prepare(self, word: str, others: Sequence[str]) -> None:
        """Works out the distances from a word to others; those without a vector are left out."""
        at = self._index(word)
        places = [self._index(other) for other in others]
        lacking = [place for place in places if place is not None and (at, place) not in self._table]
        if at is None or not lacking:
            return
        for place, value in zip(lacking, self._values(at, lacking).tolist(), strict=True):
            clear = abs(value - self._limit) > _NEAR * max(1.0, abs(self._limit)) and not self._given(at, place)
            self._table.keep((at, place), value if clear else self._exact(at, place))

    def _values(self, at: int, places: Sequence[int]) -> NDArray[np.float64]:
        matrix = self._embedding.embedding_matrix
        first, others = matrix[at].astype(np.float64), matrix[places].astype(np.float64)
        if not self._cosine:
            return np.asarray(((others - first) ** 2).sum(axis=1))
        lengths = np.sqrt((others**2).sum(axis=1) * (first**2).sum())
        return np.asarray(others @ first / np.maximum(lengths, 1e-8))

    def _exact(self, a: int, b: int) -> float:
        return float(self._stock.get_cos_sim(a, b) if self._cosine else self._stock.get_mse_dist(a, b))

    def _given(self, a: int, b: int) -> bool:
        """Whether the embedding came with this distance, which then counts."""
        table = self._embedding._cos_sim_mat if self._cosine else self._embedding._mse_dist_mat
        return max(a, b) in table.get(min(a, b), ())

    def _index(self, word: str) -> int | None:
        try:
            return int(self._embedding.word2index(word if self._stock.cased else word.lower()))
        except KeyError:
            return None
