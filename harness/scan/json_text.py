"""JSON as its readers see it, all of it: a name that stands twice keeps both values, odd numbers are noted."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from harness.base.limits import capped

MOST_BYTES = 64 * 2**20
"""Gemma's tokenizer.json, the largest in wide use, has 33 MB."""
_MOST_PARTS = 3_000_000
"""Commas, or brackets: each makes an object of 60 to 150 bytes. Gemma's tokenizer has 1.3 million."""
_DIGITS = 4_000
"""Python refuses integers of more than 4,300 digits."""
_DEPTH = 200
"""Levels that are walked; Python's reader ends at a thousand, a config has four."""


@dataclass
class Parsed:
    """The value, and what else stood there."""

    value: Any
    shadowed: list[dict[str, Any]] = field(default_factory=list)
    """Values that a later one of the same name replaced, each under its name."""
    duplicates: list[str] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)


_LONE = re.compile(
    r"(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])"
)


class NotJsonError(Exception):
    """Cannot be read; the message says why."""


def parse(content: bytes) -> Parsed:
    """Raises NotJsonError: too much, too deep, or none."""
    if len(content) > capped(MOST_BYTES):
        raise NotJsonError(f"{len(content):,} bytes of JSON, more than is read")
    if max(content.count(b","), content.count(b"{") + content.count(b"[")) > capped(_MOST_PARTS):
        raise NotJsonError(f"JSON of more than {capped(_MOST_PARTS):,} parts")
    parsed = Parsed(None)

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(items)
        if len(made) < len(items):
            _shadow(items, parsed)
        return made

    def integer(text: str) -> int:
        if len(text) > _DIGITS:
            parsed.odd.append(f"an integer of {len(text):,} digits")
            return 2**63
        return int(text)

    def constant(text: str) -> float:
        parsed.odd.append(f"{text}, which is not JSON")
        return float(text)

    try:
        encoding = json.detect_encoding(content)
        if not encoding.startswith("utf-8"):
            parsed.odd.append(f"text in {encoding}, which not every reader takes")
        text = content.decode(encoding, "surrogatepass").removeprefix("\ufeff")
        parsed.value = json.loads(
            text, object_pairs_hook=pairs, parse_int=integer, parse_constant=constant, strict=False
        )
    except RecursionError as error:
        raise NotJsonError("JSON nested too deep for any reader") from error
    except (ValueError, MemoryError) as error:
        raise NotJsonError(f"not JSON ({str(error)[:100] or type(error).__name__})") from error
    if "\\ud" in text.lower() and _LONE.search(text):
        parsed.odd.append("half a character (a lone surrogate)")
    return parsed


def _shadow(items: list[tuple[str, Any]], parsed: Parsed) -> None:
    seen: set[str] = set()
    for name, _ in items:
        if name in seen and len(parsed.duplicates) < 100:
            parsed.duplicates.append(name)
        seen.add(name)
    if len(parsed.shadowed) < 1000:
        parsed.shadowed.extend({name: value} for name, value in items[:1000])


def walk(value: Any) -> Iterator[tuple[str, str, Any]]:
    """Place, innermost name and value of everything below a value, lists under the name of their list.

    Ends at `_DEPTH` levels with a place of '…', an empty name and None.
    """
    waiting: list[tuple[str, str, Any, int]] = [("", "", value, 0)]
    while waiting:
        place, name, here, depth = waiting.pop()
        if depth > _DEPTH:
            yield "…", "", None
            continue
        if isinstance(here, dict):
            for key, item in here.items():
                inner = f"{place}.{key[:80]}" if place else key[:80]
                yield inner, key, item
                if isinstance(item, dict | list):
                    waiting.append((inner, key, item, depth + 1))
        elif isinstance(here, list):
            for index, item in enumerate(here):
                inner = f"{place}[{index}]"
                yield inner, name, item
                if isinstance(item, dict | list):
                    waiting.append((inner, name, item, depth + 1))
