"""Cells of text that hold several texts: JSON lists, or such under names."""

from __future__ import annotations

import json
from typing import Any


def json_strings(cell: str) -> list[str] | None:
    """The strings of a JSON list; None where the cell is no such list, so that it is a text that begins like one."""
    found = _json(cell, "[")
    return found if isinstance(found, list) and all(isinstance(each, str) for each in found) else None


def json_named(cell: str) -> dict[str, list[str]] | None:
    """Lists of strings under names, with one called `text`, as SQuAD's answers and ARC's choices are; else None."""
    found = _json(cell, "{")
    if not isinstance(found, dict) or "text" not in found:
        return None
    whole = all(isinstance(each, list) and all(isinstance(item, str) for item in each) for each in found.values())
    return found if whole else None


def one_or_more(cell: object) -> list[str]:
    """The strings of a JSON list, or of that called `text`, but for empty ones; else the cell, where it has text."""
    if not isinstance(cell, str) or not cell.strip():
        return []
    named = json_named(cell)
    found = json_strings(cell) if named is None else named["text"]
    return [cell] if found is None else [each for each in found if each.strip()]


def _json(cell: str, begins: str) -> Any:
    if not cell.lstrip().startswith(begins):
        return None
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):
        return None
