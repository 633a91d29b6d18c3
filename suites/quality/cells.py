"""Cells of text that hold several texts."""

from __future__ import annotations

import json


def json_strings(cell: str) -> list[str] | None:
    """The strings of a JSON list; None where the cell is no such list, so that it is a text that begins like one."""
    if not cell.lstrip().startswith("["):
        return None
    try:
        found = json.loads(cell)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, list) and all(isinstance(each, str) for each in found) else None


def one_or_more(cell: object) -> list[str]:
    """The strings of a JSON list but for empty ones, else the text itself; none where the cell is empty."""
    if not isinstance(cell, str) or not cell.strip():
        return []
    found = json_strings(cell)
    return [cell] if found is None else [each for each in found if each.strip()]
