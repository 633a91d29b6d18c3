"""Windows of a text, cut by characters."""

from __future__ import annotations

from collections.abc import Iterator


def cut_windows(text: str, size: int, most: int | None) -> Iterator[tuple[int, str]]:
    """(offset, window) of at most `most` windows of about `size` characters that start at a word and do not overlap.

    A text shorter than `size` is one window; what is left of a longer one is dropped.
    """
    start, found = len(text) - len(text.lstrip()), 0
    while (found == 0 or start + size <= len(text)) and (most is None or found < most) and start < len(text):
        end = _word_end(text, start + size)
        yield start, text[start:end]
        found += 1
        start = end + len(text[end:]) - len(text[end:].lstrip())


def _word_end(text: str, position: int) -> int:
    """`position`, moved on to the end of the word it lies in."""
    while position < len(text) and not text[position].isspace():
        position += 1
    return min(position, len(text))
