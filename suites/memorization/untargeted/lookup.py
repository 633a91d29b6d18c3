"""What a text repeats of the training text, word for word."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from privacy.corpus.index import Index
from privacy.scrub.recognise import Finder


@dataclass(frozen=True, slots=True)
class InTexts:
    """The training text itself."""

    training: Sequence[str]

    def repeat(self, texts: Sequence[str], size: int) -> list[bool | None]:
        """Which texts hold a run of `size` characters that a training text holds too; both begin with a word.

        None where a text, or every training text, is shorter than a run. One pass over the training text, in the
        memory of the texts' own runs.
        """
        if all(len(text) < size for text in self.training):
            return [None] * len(texts)
        own = [frozenset(runs(text, size)) for text in texts]
        wanted: frozenset[str] = frozenset().union(*own)
        met = {run for text in self.training for run in runs(text, size) if run in wanted}
        return [not met.isdisjoint(each) if each else None for each in own]

    def holds(self, values: Collection[str]) -> frozenset[str]:
        """Those of the values that a training text holds."""
        whole = "\0".join(self.training)
        return frozenset(value for value in values if value in whole)


@dataclass(frozen=True, slots=True)
class InIndex:
    """An index of it, where a run may begin within a word."""

    index: Index

    def repeat(self, texts: Sequence[str], size: int) -> list[bool | None]:
        """As that of `InTexts`, but that of training texts the lengths are not known."""
        return [
            None if len(text) < size else any(count.occurrences for count in self.index.counts(runs(text, size)))
            for text in texts
        ]

    def holds(self, values: Collection[str]) -> frozenset[str]:
        """As that of `InTexts`."""
        return frozenset(value for value in values if self.index.count(value).occurrences)


def runs(text: str, size: int) -> Iterator[str]:
    """Every run of so many characters that begins with a word."""
    starts = [0, *(place + 1 for place, (one, two) in enumerate(pairwise(text)) if one.isspace() and not two.isspace())]
    return (text[start : start + size] for start in starts if start + size <= len(text))


def personal(finder: Finder, texts: Sequence[str]) -> list[frozenset[str]]:
    """Different values of personal data that are recognised in each text."""
    return [frozenset(text[one.start : one.end] for one in finder.find(text)) for text in texts]
