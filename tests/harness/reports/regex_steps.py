"""Counts what a backtracking matcher does, so that a test can tell linear patterns from quadratic ones by numbers.

A small interpreter of Python's own parse trees, for ASCII text and the constructs that masking uses; `re` does less
(it looks for literal beginnings first), never more by an order.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

_CATEGORIES = {"CATEGORY_WORD": r"\w", "CATEGORY_DIGIT": r"\d", "CATEGORY_SPACE": r"\s"}
_WORDS, _DIGITS, _SPACES = (frozenset(re.findall(each, "".join(map(chr, range(128))))) for each in _CATEGORIES.values())
_SETS = dict(zip(_CATEGORIES, (_WORDS, _DIGITS, _SPACES), strict=True))


class Steps:
    """`spans` of the matches in a text, found in `count` looks at a character."""

    def __init__(self, pattern: re.Pattern[str], text: str) -> None:
        self._text = text
        self.count = 0
        tree = list(importlib.import_module("re._parser").parse(pattern.pattern, pattern.flags))
        self.spans: list[tuple[int, int]] = []
        at = 0
        while at <= len(text):
            end = next(self._ends(tree, at), None)
            if end is not None:
                self.spans.append((at, end))
            at = end if end is not None and end > at else at + 1

    def _ends(self, items: Sequence[Any], at: int) -> Iterator[int]:
        """Where the items, one after the other, can end: in the order a backtracking matcher tries."""
        if not items:
            yield at
            return
        for end in self._one(str(items[0][0]), items[0][1], at):
            yield from self._ends(items[1:], end)

    def _one(self, op: str, value: Any, at: int) -> Iterator[int]:
        if op == "MAX_REPEAT":
            least, most, body = value
            yield from self._repeated(least, most, body, at)
        elif op == "SUBPATTERN":
            yield from self._ends(list(value[3]), at)
        elif op == "BRANCH":
            for branch in value[1]:
                yield from self._ends(list(branch), at)
        elif op in ("ASSERT", "ASSERT_NOT"):
            direction, inner = value
            start = at if direction > 0 else at - inner.getwidth()[0]
            holds = start >= 0 and next(self._ends(list(inner), start), None) is not None
            if holds == (op == "ASSERT"):
                yield at
        elif self._fits(op, value, at):
            yield at + 1

    def _repeated(self, least: int, most: Any, body: Any, at: int) -> Iterator[int]:
        """Greedily: all places that can be reached, the farthest first."""
        if len(body) == 1 and body.getwidth() == (1, 1):
            ends = [at]
            while len(ends) <= int(most) and self._fits(str(body[0][0]), body[0][1], ends[-1]):
                ends.append(ends[-1] + 1)
            yield from reversed(ends[least:])
            return
        if int(most) > 0:
            for end in self._ends(list(body), at):
                yield from self._repeated(max(0, least - 1), int(most) - 1, body, end)
        if least == 0:
            yield at

    def _fits(self, op: str, value: Any, at: int) -> bool:
        self.count += 1
        if at >= len(self._text):
            return False
        char = self._text[at]
        if op == "IN":
            negated = str(value[0][0]) == "NEGATE"
            return any(_holds(str(kind), what, char) for kind, what in value[negated:]) != negated
        return _holds(op, value, char)


def _holds(kind: str, what: Any, char: str) -> bool:
    if kind == "LITERAL":
        return bool(ord(char) == what)
    if kind == "NOT_LITERAL":
        return bool(ord(char) != what)
    if kind == "RANGE":
        return bool(what[0] <= ord(char) <= what[1])
    assert kind == "CATEGORY", kind
    name = str(what)
    return (char in _SETS[name.replace("_NOT_", "_")]) != ("_NOT_" in name)
