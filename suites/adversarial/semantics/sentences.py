"""Sentence vectors of whole texts, and how similar two of them are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from harness.api.scorer import Embedding, EmbedRequest, Floats, Scorer
from suites.adversarial.semantics.unmeasured import Unmeasured

Vector = Floats | Unmeasured


def similarities(first: Floats, second: Floats) -> tuple[float, float] | Unmeasured:
    """Cosine of two vectors [hidden], and their angular similarity 1 - angle / pi (TextAttack's `get_angular_sim`).

    The angle comes from Kahan's formula, exact where the arc cosine loses half of the digits: near 1.
    """
    lengths = float(np.linalg.norm(first)), float(np.linalg.norm(second))
    if min(lengths) == 0.0 or not all(map(math.isfinite, lengths)):
        return Unmeasured("a sentence vector is zero or not finite, so it has no direction")
    one, other = first / lengths[0], second / lengths[1]
    angle = 2 * math.atan2(float(np.linalg.norm(one - other)), float(np.linalg.norm(one + other)))
    return max(-1.0, min(1.0, float(one @ other))), max(0.0, min(1.0, 1 - angle / math.pi))


class SentenceVectors:
    """One vector per text: the mean of the last hidden states, as the sentence-transformers models pool.

    A text longer than the encoder reads is cut between words into equal pieces that fit, whose vectors are averaged,
    each weighted by its tokens: otherwise a change beyond the end would count as no change at all.
    """

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer

    def __call__(self, texts: Sequence[str]) -> list[Vector]:
        """One vector [hidden] per text, in order."""
        answers = self._scorer.ask([EmbedRequest(text) for text in texts])
        found = [_vector(answer) for answer in answers]
        long = {at: self._fewest(answer) for at, answer in enumerate(answers) if answer.truncated}
        while long:
            pieces = {at: _pieces(texts[at], count) for at, count in long.items()}
            embedded = iter(self._scorer.ask([EmbedRequest(piece) for parts in pieces.values() for piece in parts]))
            again = {}
            for at, parts in pieces.items():
                mine = [next(embedded) for _ in parts]
                if not any(piece.truncated for piece in mine):
                    found[at] = self._mean(parts, mine)
                elif len(parts) < long[at]:  # there are no more words to cut between
                    found[at] = Unmeasured(
                        f"a word is longer than the {self._scorer.max_tokens} tokens that the encoder reads"
                    )
                else:
                    again[at] = math.ceil(1.5 * long[at])
            long = again
        return found

    def _fewest(self, answer: Embedding) -> int:
        return 1 + math.ceil(answer.truncated / self._scorer.max_tokens)

    def _mean(self, parts: Sequence[str], embedded: Sequence[Embedding]) -> Vector:
        vectors = [_vector(piece) for piece in embedded]
        for vector in vectors:
            if isinstance(vector, Unmeasured):
                return vector
        weights = [len(self._scorer.encode(part)) for part in parts]
        return np.asarray(np.average(np.stack([piece.vector for piece in embedded]), axis=0, weights=weights))


def _vector(answer: Embedding) -> Vector:
    return answer.vector if answer.error is None else Unmeasured(f"the encoder gives no vector: {answer.error}")


def _pieces(text: str, count: int) -> list[str]:
    """The words of a text in `count` runs of nearly equal length; fewer where there are fewer words."""
    words = text.split()
    count = min(count, len(words))
    ends = [round(len(words) * part / count) for part in range(count + 1)] if count else []
    return [" ".join(words[start:end]) for start, end in pairwise(ends)] or [text]
