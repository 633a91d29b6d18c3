"""`python -m benchmarks.planted_plot`: draws benchmarks/results/planted.json into docs/planted.svg."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from typing import Any

from benchmarks.report import RESULTS

TARGET = Path(__file__).parent.parent / "docs" / "planted.svg"
_TRAININGS = (("without privacy", "#b3261e"), ("epsilon 8", "#3367a8"), ("epsilon 1", "#2e7d32"))
_DRAWN = (
    ("gpt", "memorization/exposure/found_share of 16 copies", "GPT: secrets planted 16 times found first of 10,000"),
    ("gpt", "memorization/membership/auc", "GPT: membership, AUC"),
    ("gpt", "memorization/membership/tpr_at_fpr_1pct", "GPT: members told at 1 % false alarms"),
    ("gpt", "memorization/epsilon_audit/guesses_right", "GPT: canaries guessed rightly"),
    ("bert", "memorization/membership/auc", "BERT: membership, AUC"),
    ("bert", "memorization/membership/tpr_at_fpr_1pct", "BERT: members told at 1 % false alarms"),
    ("bert", "memorization/epsilon_audit/guesses_right", "BERT: canaries guessed rightly"),
    ("bert", "quality/classification/accuracy", "BERT: accuracy on SST-2"),
)
_LEFT, _WIDE, _ROW, _GAP, _TOP = 330, 360, 15, 14, 40


def main() -> None:
    """Writes the file."""
    cells = json.loads((RESULTS / "planted.json").read_text(encoding="utf-8"))["cells"]
    TARGET.write_text(drawing({cell["case"]: cell for cell in cells}), encoding="utf-8")


def drawing(cells: dict[str, dict[str, Any]]) -> str:
    """The SVG of cells by case: a dot and its interval for each training, shares from 0 to 1."""
    marks: list[str] = []
    top = _TOP
    for kind, metric, title in _DRAWN:
        marks.append(_text(_LEFT - 10, top + _ROW + 4, title, "end"))
        for place, (training, colour) in enumerate(_TRAININGS):
            cell = cells.get(f"{kind}, {training}: {metric.partition('/')[2]}")
            if cell is not None:
                marks.append(_mark(cell, top + place * _ROW, colour))
        top += len(_TRAININGS) * _ROW + _GAP
    axis = [_tick(share / 4, top) for share in range(5)]
    legend = [_legend(place, *each) for place, each in enumerate(_TRAININGS)]
    size = f'viewBox="0 0 {_LEFT + _WIDE + 30} {top + 24}"'
    style = 'font-family="sans-serif" font-size="12"'
    title = "<title>What trainings keep of canaries, without privacy and under it</title>"
    return "\n".join(
        [f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>', title, *axis, *legend, *marks, "</svg>\n"]
    )


def _x(share: float) -> float:
    return round(_LEFT + _WIDE * share, 1)


def _mark(cell: dict[str, Any], y: float, colour: str) -> str:
    low, high = cell["interval"]
    dot = f'<circle cx="{_x(cell["value"])}" cy="{y}" r="4" fill="{colour}"/>'
    line = f'<line x1="{_x(low)}" x2="{_x(high)}" y1="{y}" y2="{y}" stroke="{colour}" stroke-width="2"/>'
    return f"<g><title>{escape(cell['case'])}: {cell['value']:.3g} [{low:.3g}, {high:.3g}]</title>{line}{dot}</g>"


def _tick(share: float, bottom: float) -> str:
    line = f'<line x1="{_x(share)}" x2="{_x(share)}" y1="{_TOP - 12}" y2="{bottom - 4}" stroke="#ddd"/>'
    return line + _text(_x(share), bottom + 12, f"{share:g}", "middle")


def _legend(place: int, name: str, colour: str) -> str:
    x = _LEFT + place * 130
    return f'<circle cx="{x}" cy="12" r="4" fill="{colour}"/>' + _text(x + 10, 16, name, "start")


def _text(x: float, y: float, words: str, anchor: str) -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}">{escape(words)}</text>'


if __name__ == "__main__":
    main()
