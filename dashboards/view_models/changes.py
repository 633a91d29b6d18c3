"""What an attack changed in a text, side by side, as HTML in which only the marks are markup."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from harness.base.language import _

COLUMNS = {
    "perturbed_text": (("text", "pair"), ("perturbed_text", "perturbed_pair")),
    "perturbed_prompt": (("prompt",), ("perturbed_prompt",)),
}
"""Column with a changed text -> columns of the original and of the changed one, joined by line breaks."""


def changes_html(row: Mapping[str, Any]) -> str | None:
    """Original and changed text with the changed places marked; None where the row holds no such texts."""
    names = next((names for column, names in COLUMNS.items() if isinstance(row.get(column), str)), None)
    spans = _spans(row.get("diff_spans"))
    if names is None or spans is None:
        return None
    before, after = ("\n".join(row[name] for name in part if isinstance(row.get(name), str)) for part in names)
    sides = (
        _marked(before, [(start, end) for start, end, *_after in spans], "#ffd6d6", _("original")),
        _marked(after, [(start, end) for *_before, start, end in spans], "#c9f0d2", _("changed")),
    )
    return "".join(sides)


def _spans(column: Any) -> list[tuple[int, int, int, int]] | None:
    """The column as spans; None where it holds something else."""
    try:
        found = [tuple(map(int, span)) for span in json.loads(column)]
    except (TypeError, ValueError):
        return None
    return [(a, b, c, d) for a, b, c, d in found] if all(len(span) == 4 for span in found) else None


def _marked(text: str, places: list[tuple[int, int]], colour: str, title: str) -> str:
    parts = "".join(
        f'<mark style="background:{colour};color:#111">{escape(piece)}</mark>' if inside else escape(piece)
        for piece, inside in _pieces(text, places)
    )
    return f'<p><small>{title}</small><br><span style="white-space:pre-wrap">{parts}</span></p>'


def _pieces(text: str, places: list[tuple[int, int]]) -> Iterator[tuple[str, bool]]:
    """The text in pieces, and whether each is one of the places; a place outside the text is left out."""
    at = 0
    for start, end in places:
        if not at <= start <= end <= len(text):
            continue
        yield text[at:start], False
        yield text[start:end] or "∅", True
        at = end
    yield text[at:], False
