"""Regular expressions of a tokenizer.json: refused where matching them can take exponential time.

The tokenizers library runs them in a backtracking engine. A group that repeats without bound and holds such a repeat,
or a choice, is what lets one text match in exponentially many ways; no tokenizer in use has one.
"""

from __future__ import annotations

import re

_LONGEST = 5_000
"""Characters of a pattern; the longest in use has 1,200."""
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
        elif token == "|":
            groups[-1].chooses = True
            last = None
        elif (times := _times(token)) is not None:
            if last is not None and times > 1 and (last.repeats or last.chooses):
                return "repeats a group that holds a repeat or a choice"
            if times > _MOST:
                groups[-1].repeats = True
            last = None
        else:
            last = None
    return None


class _Group:
    """What lies between two brackets."""

    def __init__(self) -> None:
        self.repeats = False
        self.chooses = False


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
