"""A curve in words: the cells of its table and its caption, the same on the terminal, in Markdown and in HTML."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath

import pandas as pd

from harness.base.numbers import number, percent
from privacy.curve.measure import LearningCurve, measure
from privacy.frontier.rows import Quality
from privacy.frontier.words import shown, with_interval


def title(curve: LearningCurve) -> str:
    """Of the page."""
    return f"{curve.quality.value.capitalize()} by number of training records"


def header(curve: LearningCurve) -> tuple[str, ...]:
    """Titles of the table's columns."""
    gained = "gained" if curve.quality is Quality.ACCURACY else "times smaller"
    return ("records", "seeds", "n", curve.quality.value, f"{gained}, to the size before", "minutes")


def cells(curve: LearningCurve) -> Iterator[tuple[str, ...]]:
    """The table's rows."""
    scale = shown(curve.quality)
    for point in curve.points:
        yield (
            str(point.size),
            ", ".join(map(str, point.seeds)),
            str(curve.n),
            with_interval(point.quality, scale),
            with_interval(point.gained, scale) if point.gained else "",
            "unknown" if point.minutes is None else f"{point.minutes:.1f}",
        )


def outcome(rows: pd.DataFrame) -> str:
    """What came out of one cell, from its rows."""
    (point,) = (curve := measure(rows)).points
    return f"{curve.quality.value} {number(shown(curve.quality)(point.quality.value))}"


def caption(curve: LearningCurve) -> list[str]:
    """What a reader must know to read the numbers, a sentence each."""
    return [*_what(curve), *_intervals(curve), *_remarks(curve)]


def failures(curve: LearningCurve) -> list[str]:
    """Cells without a result, with their reasons."""
    return [f"{cell}: {reason}" for cell, reason in curve.failures.items()]


def _what(curve: LearningCurve) -> Iterator[str]:
    name = PurePath(curve.data.split("#")[0]).name
    yield (
        f"{curve.quality.value.capitalize()} on {curve.n} held-out examples of {name}, of models trained on some of "
        f"{curve.records} records."
    )
    how = "class by class in proportion" if curve.quality is Quality.ACCURACY else "at random"
    yield (
        f"Subsets are drawn {how}, and nested: of one seed a larger one holds every smaller one. The seed draws the "
        "records and is that of the training too, so seeds differ by both."
    )
    epochs = " and ".join(map(str, curve.epochs))
    yield f"Every size is trained for {epochs} epochs: fewer records are also fewer steps."


def _intervals(curve: LearningCurve) -> Iterator[str]:
    known = [point.quality.interval for point in curve.points if point.quality.interval]
    if known:
        several = any(len(point.seeds) > 1 for point in curve.points)
        of = "seeds and examples (both random, t quantiles)" if several else "examples only"
        yield f"Intervals: {percent(known[0].level)}, over {of}, of one size each."
    single = [str(point.size) for point in curve.points if len(point.seeds) == 1]
    if single:
        yield f"{', '.join(single)} records: one seed, which says nothing about other seeds and other records."
    if curve.points and max(point.size for point in curve.points) == curve.records and not single:
        yield (
            "Of all records every seed has the same ones, so that size's interval is over trainings alone, and holds "
            "for no other records."
        )


def _remarks(curve: LearningCurve) -> Iterator[str]:
    if curve.quality is Quality.PSEUDO:
        yield "Pseudo: every token is predicted from both sides; not comparable with a causal model's perplexity."
    if curve.floor is not None:
        yield f"Always giving the commonest class has accuracy {number(curve.floor)}."
    if curve.left_out:
        yield f"{curve.left_out} examples that some model could not be scored on are left out of all."
