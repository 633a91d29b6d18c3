"""Words and their tags in a cell of text, and the tag that a model gives each word."""

from __future__ import annotations

from collections.abc import Sequence

from harness.api.requests.heads import Tags
from suites.quality.cells import json_strings


def words_of(cell: str) -> list[str]:
    """A JSON list of strings as it is, any other text between its blanks."""
    found = json_strings(cell)
    return cell.split() if found is None else found


def starts_of(words: Sequence[str]) -> list[int]:
    """First character of each word in the words joined by blanks."""
    starts, at = [], 0
    for word in words:
        starts.append(at)
        at += len(word) + 1
    return starts


def first_tokens(words: Sequence[str], answer: Tags) -> list[int | None]:
    """The first token of each word; None where the model read none of it, as of a word that was cut off.

    A tag for a word is that of its first token (Devlin et al. 2019, 5.3). A token belongs to the word that holds its
    first character.
    """
    starts = starts_of(words)
    found: list[int | None] = [None] * len(words)
    at = 0
    for token, (start, end) in enumerate(answer.offsets):
        if end <= start:
            continue
        while at + 1 < len(words) and starts[at + 1] <= start:
            at += 1
        if found[at] is None and start < starts[at] + len(words[at]):
            found[at] = token
    return found
