"""Curves that a probe makes of its rows, such as a ROC: saved beside its metrics, drawn by reports and pages."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, Field

from harness.base.frozen import Frozen

MOST_CURVES = 24
MOST_POINTS = 2000
"""Of a curve. A drawing is some 500 pixels wide; more would only make reports and pages slow."""
_FAR = 1e30
"""No number of a curve lies beyond it: the distance of two must be a number, too."""
_Near: TypeAlias = Annotated[float, Field(ge=-_FAR, le=_FAR)]


class Point(Frozen):
    """One point of a curve."""

    x: _Near
    y: _Near
    low: _Near | None = Field(default=None, description="lower end of y's interval; None: none")
    high: _Near | None = Field(default=None, description="upper end of y's interval; None: none")


def _rising(points: tuple[Point, ...]) -> tuple[Point, ...]:
    if any(after.x < before.x for before, after in pairwise(points)):
        raise ValueError("the points of a curve stand in the order of x")
    return points


class Curve(Frozen):
    """A line of a plot, by rising x."""

    name: str = Field(min_length=1)
    points: Annotated[tuple[Point, ...], AfterValidator(_rising)] = Field(min_length=1, max_length=MOST_POINTS)
    n: int | None = Field(default=None, ge=0, description="independent observations it rests on; None: it is computed")
    claimed: bool = Field(
        default=False, description="follows from the training's privacy claim, measured or not: shown if that holds"
    )


class CurvePlot(Frozen):
    """Curves on the same axes. `key` is `suite/probe/plot`; the probe fills the last part, the audit the rest."""

    key: str
    title: str
    x: str = Field(description="what the horizontal axis is")
    y: str = Field(description="what the vertical axis is")
    log: bool = Field(default=False, description="whether both axes are logarithmic; then all numbers are above 0")
    note: str = Field(default="", description="what to know before reading it")
    command: str = Field(default="", description="what draws it, AUDIT for its folder; '': nothing does")
    curves: tuple[Curve, ...] = Field(min_length=1, max_length=MOST_CURVES)

    @property
    def probe(self) -> str:
        """Whose rows it was made of."""
        return self.key.rpartition("/")[0]

    def with_prefix(self, probe: str) -> CurvePlot:
        """The same plot keyed `probe/<key>`."""
        return self.model_copy(update={"key": f"{probe}/{self.key}"})

    def without_claimed(self) -> CurvePlot | None:
        """Without the curves that follow from the claim; None where no other is left."""
        kept = tuple(curve for curve in self.curves if not curve.claimed)
        return self.model_copy(update={"curves": kept}) if kept else None
