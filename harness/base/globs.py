"""Patterns with `*`, in time linear in the text for each part of the pattern: no regular expression to blow up."""

from __future__ import annotations


def may_begin(pattern: str, begin: str) -> bool:
    """Whether `pattern` matches some text that begins with `begin` and is longer."""
    states = {0}
    for char in begin:
        states = {
            after
            for at in _reached(pattern, states)
            for after in ([at] if pattern[at] == "*" else [at + 1] if pattern[at] == char else [])
        }
    return any(at < len(pattern) for at in states)


def _reached(pattern: str, states: set[int]) -> set[int]:
    """Places in the pattern that can be next, as a * may stand for nothing; without its end."""
    out = set()
    for at in states:
        while at < len(pattern):
            out.add(at)
            if pattern[at] != "*":
                break
            at += 1
    return out


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
