"""Random versions of a text, every word drawn from its perturbation set: what a smoothed classifier is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.api.scorer import TextRequest
from suites.adversarial.safer.synonym_sets import SynonymSets
from suites.adversarial.safer.word_shapes import WORD, shape_of, shaped


@dataclass(frozen=True, slots=True)
class Place:
    """A word with synonyms: text[start:end] of the part called `part`, its set P_x in its own case, and q_x."""

    part: str
    start: int
    end: int
    words: tuple[str, ...]
    overlap: float


@dataclass(frozen=True, slots=True)
class Smoothed:
    """A text (or pair) with the places that are drawn; all other text stays."""

    texts: Mapping[str, str]
    places: tuple[Place, ...]
    words: int

    def versions(self, n: int, random: np.random.Generator) -> list[TextRequest]:
        """`n` independent versions, every place uniform over its set."""
        sizes = np.array([len(place.words) for place in self.places])
        drawn = random.integers(0, sizes, size=(n, len(sizes)))
        columns = {name: self._filled(name, drawn) for name in self.texts}
        pairs = columns.get("pair", [None] * n)
        return [TextRequest(text or "", pair) for text, pair in zip(columns["text"], pairs, strict=True)]

    def _filled(self, part: str, drawn: NDArray[np.int64]) -> Sequence[str | None]:
        """The part's versions, one per row of `drawn` [n, places]."""
        text, own = self.texts[part], [at for at, place in enumerate(self.places) if place.part == part]
        places = [self.places[at] for at in own]
        ends = [0, *(place.end for place in places)]
        between = [text[end : place.start] for end, place in zip(ends[:-1], places, strict=True)]
        last = text[ends[-1] :]
        found = []
        for row in drawn[:, own].tolist():
            chosen = [place.words[choice] for place, choice in zip(places, row, strict=True)]
            found.append("".join([*(piece for pair in zip(between, chosen, strict=True) for piece in pair), last]))
        return found


def smoothed(texts: Mapping[str, str], parts: Sequence[str], sets: SynonymSets) -> Smoothed:
    """`texts` ('text' and maybe 'pair') with a place for every word of `parts` that has synonyms.

    Words in a case of their own (McDonald) and single letters have none.
    """
    places: list[Place] = []
    for part in parts:
        for match in WORD.finditer(texts[part]):
            shape, word = shape_of(match.group()), match.group().lower()
            words = sets.substitutes(word)
            if shape is None or len(words) == 1:
                continue
            own = tuple(shaped(each, shape) for each in words)
            places.append(Place(part, *match.span(), own, sets.overlap(word)))
    return Smoothed(texts, tuple(places), sum(1 for part in parts for _ in WORD.finditer(texts[part])))
