"""Whether a text repeats a long run of the training text, word for word."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from privacy.corpus.index import Index


def runs(text: str, size: int) -> Iterator[str]:
    """Every run of so many characters that begins with a word."""
    starts = [0, *(place + 1 for place, (one, two) in enumerate(pairwise(text)) if one.isspace() and not two.isspace())]
    return (text[start : start + size] for start in starts if start + size <= len(text))


def found_in(training: Iterable[str], texts: Sequence[str], size: int) -> list[bool]:
    """Which texts hold a run that a training text holds: one pass over these, in the memory of the texts' own runs."""
    own = [frozenset(runs(text, size)) for text in texts]
    wanted = frozenset().union(*own)
    met = {run for text in training for run in runs(text, size) if run in wanted}
    return [not met.isdisjoint(each) for each in own]


def found_by(index: Index, texts: Sequence[str], size: int) -> list[bool]:
    """The same by an index of the training text."""
    return [any(count.occurrences for count in index.counts(runs(text, size))) for text in texts]
