"""What GitHub's code scanning takes of a SARIF file, so that no upload is refused whole and nothing is cut in silence.

It refuses more than 25,000 results or rules in a run, or 10 MB as gzip, and shows 1,024 characters of a message. Its
category is the id of a run up to the last slash: a later upload replaces an earlier one of the same category.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable
from typing import Any

from harness.base.loglines import plain

MOST = 25_000
"""Results, and rules, of a run."""
COMPRESSED = 10 * 10**6
"""Bytes of the file as gzip."""
_TEXT = 1_024
"""UTF-16 units of a message or description."""
_ID = 255
_SEGMENT = 80


def within_limits(log: Callable[[int], dict[str, Any]]) -> str:
    """The log as JSON, with as many results as GitHub takes; `log(most)` makes one with at most so many."""
    most = MOST
    while True:
        text = json.dumps(log(most), indent=2) + "\n"
        if len(text) <= COMPRESSED or not most or len(gzip.compress(text.encode())) <= COMPRESSED:
            return text
        most //= 2


def left_out(shown: int, total: int, what: str, where: str) -> list[dict[str, Any]]:
    """A notification of what is not in the file; none where all of it is."""
    if shown >= total:
        return []
    why = f"{total - shown:,} of {total:,} {what} are left out, GitHub takes no more; {where}"
    return [{"level": "warning", "message": message(why)}]


def message(value: str) -> dict[str, str]:
    """A plain-text message: braces are doubled (3.11.5), and nothing can be read as an embedded link (3.11.6).

    One that is too long for GitHub ends with an ellipsis.
    """
    whole = plain(value)
    text = _escaped(whole)
    if _units(text) <= _TEXT:
        return {"text": text}
    start = whole
    while _units(text) > _TEXT:
        start = start[: min(len(start) - 1, _TEXT, len(start) * 15 // 16)]
        text = f"{_escaped(start)}…"
    return {"text": text}


def rule_id(name: str) -> str:
    """A rule's id; one that is too long for GitHub ends with its digest."""
    shown = plain(name) or "gate"
    return shown if _units(shown) <= _ID else f"{shown[:100]}… {_digest(name)[:32]}"


def category(*names: str, key: str) -> str:
    """The start of a run's id: the names for readers, then what tells apart any two that differ in `key`."""
    shown = [plain(name).strip("/").replace("/", "_")[:_SEGMENT].strip() or "none" for name in names]
    return "/".join([*shown[:-1], f"{shown[-1]}-{_digest(key)[:12]}"])


def _escaped(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}").replace("](", "] (")


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
