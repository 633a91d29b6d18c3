"""How often a window's suffix stands in the training text: what was there often is kept more readily."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from harness.api.scorer import Scorer
from harness.errors import UsageError
from privacy.corpus.index import Index, open_index
from suites.framing import Ids

Count = Callable[[str], int]
"""Occurrences of a text."""
COUNTED_CHARACTERS = 2**26
"""Of training text that is searched without an index: some 30 ms for each suffix."""
_BUCKETS = ((8, "8+ copies"), (4, "4-7 copies"), (2, "2-3 copies"), (1, "1 copy"))


def bucket_of(copies: int) -> str:
    """The slice of so many copies; each holds about twice as many as the one before."""
    return next((name for least, name in _BUCKETS if copies >= least), "0 copies")


def suffix_text(scorer: Scorer, window: str, suffix: Ids) -> str | None:
    """The suffix as it is spelt in its window; None where the tokenizer does not give back what it read."""
    text = scorer.decode(suffix).strip()
    return text if text and text in window else None


def text_index(folder: str) -> Index:
    """An index of text. Raises UsageError where there is none, or one of tokens."""
    index = open_index(Path(folder))
    if index.coding.width != 1:
        raise UsageError(f"{folder}: an index of token ids; make one of the text with assay data FILE --index FOLDER")
    return index


def counter(index: Index) -> Count:
    """Counts in an index."""
    return lambda text: index.count(text).occurrences


def count_in(texts: Sequence[str], wanted: Mapping[str, str]) -> dict[str, int]:
    """By key: occurrences of each wanted text within any of `texts`; they may overlap, as in an index."""
    whole = "\0".join(texts)
    known = {text: _occurrences(whole, text) for text in set(wanted.values())}
    return {key: known[text] for key, text in wanted.items()}


def _occurrences(whole: str, text: str) -> int:
    found, at = 0, whole.find(text)
    while at >= 0:
        found, at = found + 1, whole.find(text, at + 1)
    return found
