"""A checkpoint's last verdicts as a drawing: passed, blocked or undecided by sign, and by height how clearly."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from harness.base.language import _
from harness.gate.decide import GateResult, Outcome, Verdict

SIGNS = {Outcome.PASS: "✔", Outcome.BLOCK: "✖", Outcome.INCONCLUSIVE: "?"}
_TOP, _BOTTOM = 1.0, -2.0
"""What is drawn of margins: a width on either side of what is undecided; what lies beyond is at the edge."""
_HEIGHT, _STEP, _SIGN = 56, 16, 14
"""Pixels: of the drawing, from verdict to verdict, of a sign."""


def margin(verdict: Verdict) -> float | None:
    """How far the interval of the gate that is worst off lies inside its bound, in widths of that interval.

    0 and more: all of it is inside; -1 and less: all of it is outside; between, the bound lies in it. None where no
    gate with a bound was measured with an interval.
    """
    known = [each for each in map(_margin, verdict.gates) if each is not None]
    return min(known, default=None)


def history_html(verdicts: Sequence[Verdict], *, label: str) -> str:
    """The verdicts from left to right, oldest first; between the dashed lines nothing is decided.

    Signs repeat what height says, and `label` all of it for who does not see it; colours are those of the text.
    """
    width = _STEP * len(verdicts)
    lines = "".join(
        f'<div style="position:absolute;left:0;right:0;top:{_place(at):.0f}px;border-top:1px dashed currentColor;'
        'opacity:.45"></div>'
        for at in (0.0, -1.0)
    )
    signs = "".join(
        f'<span style="position:absolute;left:{number * _STEP}px;top:{_place(_height(verdict)) - _SIGN / 2:.0f}px;'
        f'font-size:{_SIGN}px;line-height:{_SIGN}px">{SIGNS[verdict.outcome]}</span>'
        for number, verdict in enumerate(verdicts)
    )
    return (
        f'<div role="img" aria-label="{escape(label)}" title="{escape(label)}" '
        f'style="position:relative;width:{width}px;height:{_HEIGHT}px">{lines}{signs}</div>'
    )


def meaning() -> str:
    """What the heights of the drawing mean, in one sentence."""
    return _(
        "Heights: the gate that is worst off. Above the upper dashed line all of its interval is inside its bound, "
        "below the lower one outside."
    )


def _margin(result: GateResult) -> float | None:
    evidence = result if result.comparison is None else result.comparison
    low, high = evidence.low, evidence.high
    if low is None or high is None or result.unmeasured or not high > low:
        return None
    least, most = result.gate.allowed
    inside = min(low - least, most - high)
    return inside / (high - low) if math.isfinite(inside) else None


def _height(verdict: Verdict) -> float:
    """Where a verdict stands: by its margin; by what it decided where it has none."""
    known = margin(verdict)
    if known is None:
        return {Outcome.PASS: _TOP, Outcome.BLOCK: _BOTTOM, Outcome.INCONCLUSIVE: -0.5}[verdict.outcome]
    return min(max(known, _BOTTOM), _TOP)


def _place(height: float) -> float:
    """Pixels from the top."""
    return _SIGN / 2 + (_TOP - height) / (_TOP - _BOTTOM) * (_HEIGHT - _SIGN)
