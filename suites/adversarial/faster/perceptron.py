"""The tag that nltk's perceptron tagger gives one word of a context, for many words in its place at once.

The tagger goes from left to right and looks two words ahead, so a word changes the tags of itself and of the two words
before it, and nothing after it matters. Weights are added in nltk's order, so that sums agree to the last bit.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_SAMPLES = (
    "the old man walks slowly",
    "so Well-made 1999 films don't work",
    "fast cars and boats can race",
    "I saw her duck near 3 banks",
)


class ContextTagger:
    """Tags as `tagger` (nltk.tag.perceptron.PerceptronTagger) does; `follows` says whether it can."""

    def __init__(self, tagger: Any) -> None:
        self._tagger = tagger
        self._weights = _Weights(tagger.model.weights, sorted(tagger.model.classes, reverse=True))

    def follows(self) -> bool:
        """Whether the tags of sample contexts agree: another release of nltk may tag in another way."""
        for words in (sample.split() for sample in _SAMPLES):
            known = set(self._tagger.tagdict) & set(words)
            for place in range(len(words)):
                before, after = words[:place], words[place + 1 :]
                swaps = [*words, "Quickly", "new-found", "1984", *known]
                try:
                    found = self.tags(before, swaps, after)
                except (AttributeError, KeyError, IndexError, TypeError, ValueError):
                    return False
                for swap, tag in zip(swaps, found, strict=True):
                    context = [*before, swap, *after]
                    if self._tagger.tag(context)[context.index(swap)][1] != tag:
                        return False
        return True

    def tags(self, before: Sequence[str], words: Sequence[str], after: Sequence[str]) -> list[str]:
        """For each word, its tag in `before + [word] + after`, where the first of equal words counts."""
        fixed = max(0, len(before) - 2)
        prefix = [tag for _, tag in self._tagger.tag(list(before))[:fixed]] if fixed else []
        columns = [[tag] * len(words) for tag in prefix]
        for place in range(len(prefix), len(before) + 1):
            columns.append(self._column(place, before, words, after, columns))
        first = {word: place for place, word in reversed(list(enumerate(before)))}
        return [columns[first.get(word, len(before))][at] for at, word in enumerate(words)]

    def _column(
        self,
        place: int,
        before: Sequence[str],
        words: Sequence[str],
        after: Sequence[str],
        columns: Sequence[Sequence[str]],
    ) -> list[str]:
        """The tag of the word at `place` for each of the words put after `before`."""
        here = list(words) if place == len(before) else [before[place]] * len(words)
        tags = [self._tagger.tagdict.get(word) for word in here]
        groups: dict[tuple[str, str], list[int]] = {}
        start = self._tagger.START
        for at, tag in enumerate(tags):
            if not tag:
                last = columns[place - 1][at] if place > 0 else start[0]
                second = columns[place - 2][at] if place > 1 else start[1 - place]
                groups.setdefault((last, second), []).append(at)
        for (last, second), members in groups.items():
            chosen = [words[at] for at in members]
            scores = self._scores(place, before, chosen, after, last, second)
            for at, best in zip(members, scores.argmax(axis=1).tolist(), strict=True):
                tags[at] = self._weights.classes[best]
        return [str(tag) for tag in tags]

    def _scores(
        self, place: int, before: Sequence[str], words: Sequence[str], after: Sequence[str], last: str, second: str
    ) -> Floats:
        """Scores (words, classes) at `place`, given the two tags before it."""
        tagger, normalize = self._tagger, self._tagger.normalize
        context = [*tagger.START, *map(normalize, before), "", *map(normalize, after), *tagger.END]
        shared = list(tagger._get_features(place, (*before, "")[place], context, last, second))
        normal = [normalize(word) for word in words]
        varying = _varying(len(before) - place, words, normal, last)
        if len(shared) != 14 or any(not shared[at].startswith(name) for at, name, _ in varying):
            raise ValueError("the tagger has other features")
        own = {at: [f"{name}{value}" for value in values] for at, name, values in varying}
        scores: Floats = np.zeros((len(words), len(self._weights.classes)))
        for at, feature in enumerate(shared):
            scores = scores + (self._weights.rows(own[at]) if at in own else self._weights.rows([feature]))
        return scores


def _varying(ahead: int, words: Sequence[str], normal: Sequence[str], last: str) -> list[tuple[int, str, list[str]]]:
    """Which of the 14 features hang on the words when these stand `ahead` of the tagged place: index, name, values."""
    if ahead == 2:
        return [(13, "i+2 word ", list(normal))]
    if ahead == 1:
        return [(11, "i+1 word ", list(normal)), (12, "i+1 suffix ", [word[-3:] for word in normal])]
    return [
        (1, "i suffix ", [word[-3:] for word in words]),
        (2, "i pref1 ", [word[:1] for word in words]),
        (6, "i word ", list(normal)),
        (7, f"i-1 tag+i word {last} ", list(normal)),
    ]


class _Weights:
    """A feature's weights as a row (classes); zeros for an unknown one. Rows are made when first asked for."""

    def __init__(self, weights: Any, classes: Sequence[str]) -> None:
        self.classes = list(classes)
        """In falling order: of equal scores nltk takes the last in the alphabet, argmax the first."""
        self._weights = weights
        self._column = {tag: at for at, tag in enumerate(self.classes)}
        self._matrix: Floats = np.zeros((1024, len(self.classes)))
        self._place: dict[str, int] = {}
        self._used = 1
        self._lock = threading.Lock()

    def rows(self, features: Sequence[str]) -> Floats:
        """Weights (features, classes)."""
        places = [self._place.get(feature, -1) for feature in features]
        if -1 in places:
            places = [
                self._added(feature) if place < 0 else place for feature, place in zip(features, places, strict=True)
            ]
        return self._matrix[places]

    def _added(self, feature: str) -> int:
        weights = self._weights.get(feature)
        if weights is None:
            return 0
        with self._lock:
            if feature in self._place:
                return self._place[feature]
            if self._used == len(self._matrix):
                self._matrix = np.concatenate([self._matrix, np.zeros_like(self._matrix)])
            for tag, weight in weights.items():
                if tag in self._column:
                    self._matrix[self._used, self._column[tag]] = weight
            self._place[feature] = self._used
            self._used += 1
            return self._place[feature]
