"""Regular expressions of a tokenizer.json: refused where matching them can take exponential time.

The tokenizers library runs them in a backtracking engine. A group that repeats without bound and holds such a repeat,
or a choice, is what lets one text match in exponentially many ways; no tokenizer in use has one.
"""

from __future__ import annotations

import re

_LONGEST = 5_000
"""Characters of a pattern; the longest in use has 1,200."""
_IN_A_ROW = 4
"""Repeats without bound in one alternative, each of which costs a power of the text's length; real ones have 2."""
_MOST = 10_000
"""Bound of a counted repeat; tokenizers count digits by three."""
_TOKEN = re.compile(
    r"""\\[pP]\{[^}]*\}|\\x\{[^}]*\}|\\.|\[\^?\]?(?:\\.|\[:\w+:\]|[^\]\\])*\]|\(\?[^:=!<>)]*[:=!>]|\(\?<[=!]|\(\?[imsx-]+\)|\("""
    r"""|\)|\||[*+?][+?]?|\{\d*,?\d*\}[+?]?|.""",
    re.DOTALL,
)


def why_costly(pattern: str) -> str | None:
    """Why a pattern is refused, as the end of a sentence; None when it is not."""
    if len(pattern) > _LONGEST:
        return f"has {len(pattern):,} characters"
    if re.search(r"\\[1-9]|\\k<|\\g<|\(\?R|\(\?P", pattern):
        return "refers back to a group"
    groups: list[_Group] = [_Group()]
    last: _Group | None = None
    for match in _TOKEN.finditer(pattern):
        token = match.group()
        if token.startswith("(") and not re.fullmatch(r"\(\?[imsx-]+\)", token):
            groups.append(_Group())
            last = None
        elif token == ")" and len(groups) > 1:
            last = groups.pop()
            groups[-1].repeats |= last.repeats
            groups[-1].chooses |= last.chooses
            groups[-1].in_a_row += last.longest
        elif token == "|":
            groups[-1].next_alternative()
            last = None
        elif (times := _times(token)) is not None:
            if last is not None and times > 1 and (last.repeats or last.chooses):
                return "repeats a group that holds a repeat or a choice"
            if times > _MOST:
                groups[-1].repeats = True
                groups[-1].in_a_row += 1
            last = None
        else:
            last = None
        if groups[-1].in_a_row > _IN_A_ROW:
            return f"holds more than {_IN_A_ROW} repeats in a row"
    return None


class _Group:
    """What lies between two brackets."""

    def __init__(self) -> None:
        self.repeats = False
        self.chooses = False
        self.in_a_row = 0
        self._before = 0

    @property
    def longest(self) -> int:
        """Repeats without bound of the alternative that has most."""
        return max(self.in_a_row, self._before)

    def next_alternative(self) -> None:
        """Another begins."""
        self.chooses = True
        self._before, self.in_a_row = self.longest, 0


def _times(token: str) -> float | None:
    """How often a quantifier lets its atom repeat at most; None for a token that is none."""
    if token[0] in "*+" and len(token) <= 2:
        return float("inf")
    if token[0] == "?" and len(token) <= 2:
        return 1
    counted = re.fullmatch(r"\{(\d*)(,?)(\d*)\}[+?]?", token)
    if counted is None or token.startswith("{}"):
        return None
    low, comma, high = counted.groups()
    if high:
        return float(high)
    return float("inf") if comma else float(low or 0)
