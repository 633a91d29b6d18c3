"""A frontier in words: the cells of its table and its caption, the same on the terminal, in Markdown and in HTML."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import PurePath

import pandas as pd

from harness.base.numbers import bound, interval, number, percent
from harness.provenance.claim import rounded_up
from privacy.frontier.measure import Frontier, Point, measure
from privacy.frontier.rows import Quality
from privacy.frontier.together import epsilon_together
from privacy.frontier.two_way import Estimate

NONE = "none"
"""How the epsilon of training without privacy is written."""
_DIGITS = 3
_LARGEST = 700.0
"""Nats above which exp has no number."""


def header(frontier: Frontier) -> tuple[str, ...]:
    """Titles of the table's columns."""
    accuracy = frontier.quality is Quality.ACCURACY
    lost = "lost to privacy" if accuracy else "times that without privacy"
    return (
        *(("mode",) if len(frontier.modes) > 1 else ()),
        *("epsilon, target", "epsilon, claimed", "delta", "noise multiplier", "seeds", "n"),
        *(frontier.quality.value, lost, "minutes"),
    )


def cells(frontier: Frontier) -> Iterator[tuple[str, ...]]:
    """The table's rows."""
    for point in frontier.points:
        yield (
            *((point.mode,) if len(frontier.modes) > 1 else ()),
            epsilon(point),
            f"{point.epsilon:.4g}" if point.private else NONE,
            NONE if point.delta is None else f"{point.delta:.3g}",
            NONE if point.noise_multiplier is None else f"{point.noise_multiplier:.4g}",
            ", ".join(map(str, point.seeds)),
            str(frontier.n),
            with_interval(point.quality, shown(frontier.quality)),
            with_interval(point.lost, shown(frontier.quality)) if point.lost else "",
            "unknown" if point.minutes is None else f"{point.minutes:.1f}",
        )


def best_header(frontier: Frontier) -> tuple[str, ...]:
    """Titles of the table of the best."""
    return ("epsilon, target", "best of", "is", f"{frontier.quality.value}, widened")


def best_cells(frontier: Frontier) -> Iterator[tuple[str, ...]]:
    """Its rows; none unless several modes were trained with privacy."""
    for each in frontier.best:
        number_of = f"{each.of} modes" if each.of > 1 else "1 mode"
        yield (bound(each.target), number_of, each.mode, with_interval(each.quality, shown(frontier.quality)))


def epsilon(point: Point) -> str:
    """The target."""
    return bound(point.target) if point.private else NONE


def shown(quality: Quality) -> Callable[[float], float]:
    """What is shown of a measured number: perplexities (and their ratios) are exp of nats per token."""
    return (lambda value: value) if quality is Quality.ACCURACY else (lambda value: math.exp(min(value, _LARGEST)))


def with_interval(estimate: Estimate, scale: Callable[[float], float]) -> str:
    """`value [low, high]`."""
    value = number(scale(estimate.value), _DIGITS)
    if estimate.interval is None:
        return f"{value}, no interval"
    return f"{value} {interval(scale(estimate.interval.low), scale(estimate.interval.high), _DIGITS)}"


def caption(frontier: Frontier) -> list[str]:
    """What a reader must know to read the numbers, a sentence each."""
    return [
        _what(frontier),
        *_claims(frontier),
        *_intervals(frontier),
        *_selection(frontier),
        *_remarks(frontier),
    ]


def outcome(rows: pd.DataFrame) -> str:
    """What came out of one cell, from its rows."""
    (point,) = (frontier := measure(rows)).points
    quality = f"{frontier.quality.value} {number(shown(frontier.quality)(point.quality.value))}"
    return f"{quality} at epsilon {point.epsilon:.4g}" if point.private else f"{quality} without privacy"


def failures(frontier: Frontier) -> list[str]:
    """Cells without a result, with their reasons."""
    return [f"{cell}: {reason}" for cell, reason in frontier.failures.items()]


def _what(frontier: Frontier) -> str:
    name = PurePath(frontier.data.split("#")[0]).name
    trained = f", of models trained on {frontier.records} records" if frontier.records else ""
    seeds = {point.seeds for point in frontier.points}
    which = f", {_seeds(next(iter(seeds)))}" if len(seeds) == 1 else ", seeds as listed"
    return f"{frontier.quality.value.capitalize()} on {frontier.n} held-out examples of {name}{trained}{which}."


def _claims(frontier: Frontier) -> Iterator[str]:
    private = [point for point in frontier.points if point.private]
    if not private:
        return
    deltas = " and ".join(sorted({f"{point.delta:.3g}" for point in private if point.delta is not None}))
    yield (
        f"Claimed epsilon: upper bound ({' and '.join(map(str.upper, frontier.accountants))}), the largest over the "
        f"seeds, at delta {deltas}, for {' and '.join(frontier.units)}. It covers one model that was "
        "settled on before any of them was seen."
    )
    yield _choice(frontier)


def _choice(frontier: Frontier) -> str:
    """What it costs to keep the best: its quality depends on the records, and so does the choice."""
    every = frontier.together
    if every is None or every.models == 1:
        return "One private model: nothing was chosen among several."
    accountant = next(iter(frontier.accountants)) if len(frontier.accountants) == 1 else "prv"
    total = epsilon_together(every, accountant)
    cost = f"epsilon <= {rounded_up(total)} at delta {every.delta:.3g}" if total is not None else "an unknown epsilon"
    parts = [
        f"Choosing among them by their quality, or releasing all, spends what the {every.models} private models spend "
        f"together: {cost}"
    ]
    if frontier.plain is not None:
        parts.append("a choice that looks at a model without privacy has no bound")
    if frontier.failures:
        parts.append("models that failed are not in it, though they may have spent as much as the others")
    return "; ".join(parts) + "."


def _intervals(frontier: Frontier) -> Iterator[str]:
    intervals = [point.quality.interval for point in frontier.points if point.quality.interval]
    if intervals:
        several = any(len(point.seeds) > 1 for point in frontier.points)
        of = "seeds and examples (both random, t quantiles)" if several else "examples only"
        yield f"Intervals: {percent(intervals[0].level)}, over {of}."
    several_modes = len(frontier.modes) > 1
    single = [
        f"{point.mode} " * several_modes + f"epsilon {epsilon(point)}"
        for point in frontier.points
        if len(point.seeds) == 1
    ]
    if single:
        yield f"{', '.join(single)}: one seed: says nothing about other seeds."
    if frontier.plain is None:
        yield "What privacy cost is unknown: no model was trained without it; add inf to --epsilons."
    elif len({point.seeds for point in frontier.points}) > 1:
        yield "Differences are paired by example, and by seed as well where both have the same seeds."
    elif len(frontier.points) > 1:
        yield "Differences are paired by seed and example."
    if frontier.quality is not Quality.ACCURACY:
        yield (
            "Perplexity is exp of the mean over seeds of nats per token, each a ratio of sums, linearised for its "
            "interval, whose ends are exp of those of the nats."
        )


def _selection(frontier: Frontier) -> Iterator[str]:
    """What choosing the best by the held-out examples does to its number."""
    if not frontier.best:
        return
    most = max(each.of for each in frontier.best)
    yield (
        f"The best of each epsilon is chosen among up to {most} modes by these same {frontier.n} examples, so its "
        "value is optimistic. Its interval is widened to hold for all of them at once (Bonferroni); before you quote "
        "the value, score the chosen model on examples that chose nothing."
    )
    if frontier.plain is not None:
        yield f"Without privacy one mode was trained ({frontier.plain.mode or 'unknown'}); all are compared with it."
    for each in frontier.falls:
        scale = shown(frontier.quality)
        yield (
            f"The best at epsilon {bound(each.larger.target)} ({each.larger.mode}, "
            f"{number(scale(each.larger.quality.value), _DIGITS)}) is worse than at {bound(each.smaller.target)} "
            f"({each.smaller.mode}, {number(scale(each.smaller.quality.value), _DIGITS)}), beyond its interval. More "
            "epsilon cannot make the best possible model worse: its settings do not suit it, and the model of the "
            "smaller epsilon keeps the larger one too."
        )
    if not frontier.falls and len(frontier.best) > 1:
        yield "The best never gets worse with more epsilon, beyond its interval."


def _remarks(frontier: Frontier) -> Iterator[str]:
    if frontier.quality is Quality.PSEUDO:
        yield "Pseudo: every token is predicted from both sides; not comparable with a causal model's perplexity."
    if frontier.floor is not None:
        yield f"Always giving the commonest class has accuracy {number(frontier.floor)}."
    if frontier.left_out:
        yield f"{frontier.left_out} examples that some model could not be scored on are left out of all."
    for note in frontier.notes:
        yield f"Note: {note}."


def _seeds(seeds: tuple[int, ...]) -> str:
    return f"{len(seeds)} seed{'s' if len(seeds) > 1 else ''} ({', '.join(map(str, seeds))})"
