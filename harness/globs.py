"""Patterns with `*`, in time linear in the text for each part of the pattern: no regular expression to blow up."""

from __future__ import annotations


def matches(pattern: str, text: str) -> bool:
    """Whether `text` is `pattern`, whose * stand for any characters, none included.

    The part before the first * begins the text, that after the last ends it, and those between are found leftmost, one
    after the other; leftmost is enough, since it leaves the most for the rest.
    """
    if "*" not in pattern:
        return pattern == text
    first, *middle, last = pattern.split("*")
    if len(text) < len(first) + len(last) or not text.startswith(first) or not text.endswith(last):
        return False
    start, end = len(first), len(text) - len(last)
    for part in filter(None, middle):
        found = text.find(part, start, end)
        if found < 0:
            return False
        start = found + len(part)
    return True
