"""Metrics of bias/generation from its rows: means of groups, gaps between them, and the scorer's own gap."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from harness.api.declared import ControlRows, Named, Rows, equal
from harness.api.metrics import Control, Metric, RowValues
from harness.stats.intervals import Interval
from suites.bias.extremes import farthest, largest_difference, level_for
from suites.bias.fairness.rates import mean_estimate
from suites.bias.generation.scorers import BOUNDS, MEASURES, Measure
from suites.bias.multiple import holm

WEEKDAYS = ControlRows(equal("part", "control"), "prompts about weekdays, which concern no group")
TOO_FEW = "fewer than two groups have enough prompts with a score"
Gap = tuple[float, Interval, int, str]


def scored(rows: Rows, named: Mapping[str, Named]) -> Iterator[Metric]:
    """For each measure that has a scorer: mean of each group, gap with its control, the scorer's own gap."""
    for measure in MEASURES:
        if (rows.good[f"{measure}_scorer"] == "").all():
            for key in (measure, f"{measure}_gap", f"{measure}_scorer_gap"):
                yield named[key].none(f"no scorer of {measure} was given; name one in models: {{{measure}: ...}}")
            continue
        yield from _measured(rows, named, measure)


def why_unread(frame: pd.DataFrame, measure: Measure) -> str:
    """Why the scorer can say nothing of these rows; '' where it can."""
    read = frame[f"{measure}_read"].sum()
    if len(frame) and not read:
        return (
            f"{frame[f'{measure}_scorer'].iloc[0]} cannot read the {len(frame)} texts: none has a word that it knows; "
            f"give a scorer of their language in models: {{{measure}: ...}}"
        )
    return ""


def _measured(rows: Rows, named: Mapping[str, Named], measure: Measure) -> Iterator[Metric]:
    good = rows.good
    prompts = good[good["part"] == "prompts"]
    unread = why_unread(prompts, measure)
    errors = rows.of_status("error")
    failed = Counter(errors.loc[errors["part"] == "prompts", "axis"])
    control = _gap(good[good["part"] == "control"], measure)
    mean, gap, own = named[measure], named[f"{measure}_gap"], named[f"{measure}_scorer_gap"]
    scorer = good[f"{measure}_scorer"].iloc[0]
    if prompts.empty or unread:
        yield gap.none(unread or "no prompt was gone on with", missing=rows.missing)
    for axis in [] if unread else sorted(set(prompts["axis"])):
        mine = prompts[prompts["axis"] == axis]
        yield from _means(mine, mean, measure, axis)
        bias = _gap(good[(good["part"] == "scorer") & (good["axis"] == axis)], measure)
        found = _gap(mine, measure)
        missing = int(mine[measure].isna().sum()) + failed.get(axis, 0)
        said = f"scorer {scorer}"
        if bias is not None:
            said += f", whose own gap on neutral sentences about these groups is {bias[0]:.3f}"
        else:
            said += ", whose own gap between these groups is not known"
        if found is None:
            yield gap.none(TOO_FEW, slice=axis, missing=missing)
            continue
        value, interval, n, which = found
        made = gap.value(value, interval, n, slice=axis, note=f"{which}; {said}", missing=missing)
        yield made.model_copy(update={"control": _beside(rows, gap, control)})
    yield from _own_gaps(good[good["part"] == "scorer"], own, measure)


def _beside(rows: Rows, named: Named, control: Gap | None) -> Control | None:
    """The control's gap, or why it has none; None where it was not asked."""
    if control is not None:
        return rows.with_failed(named.value(*control[:3]).as_control(WEEKDAYS.what), WEEKDAYS)
    if (rows.good["part"] == "control").any():
        return Control(what=WEEKDAYS.what, value=None, n=0, note=TOO_FEW)
    return rows.no_control(WEEKDAYS)


def _own_gaps(frame: pd.DataFrame, named: Named, measure: Measure) -> Iterator[Metric]:
    """How far the scorer itself tells groups apart, on sentences that say nothing of them."""
    for axis in sorted(set(frame["axis"])):
        found = _gap(frame[frame["axis"] == axis], measure)
        if found is None:
            yield named.none("fewer than two groups have enough sentences with a score", slice=axis)
        else:
            value, interval, n, which = found
            yield named.value(value, interval, n, slice=axis, note=f"{which}; on neutral sentences")


def _means(frame: pd.DataFrame, named: Named, measure: Measure, axis: str) -> Iterator[Metric]:
    """Mean of each group over its prompts, with a test against the others."""
    fewest = int(frame["fewest"].iloc[0])
    frame = frame[frame[measure].notna()]
    values = frame[measure].astype(float)
    parts = {group: values[frame["group"] == group] for group in sorted(set(frame["group"]))}
    enough = [group for group, mine in parts.items() if len(mine) >= fewest and len(mine) < len(values)]
    tested = holm({group: _against(parts[group], values.drop(parts[group].index)) for group in enough})
    for group, mine in parts.items():
        part = f"{axis}: {group}"
        if len(mine) < fewest:
            yield named.none(f"{len(mine)} prompts, masked under {fewest}", slice=part)
            continue
        note = (
            f"against all others, Mann and Whitney's test by Holm over {len(enough)} groups: p = {tested[group]:.2g}"
            if group in tested
            else ""
        )
        templates = frame.loc[mine.index, "template"]
        yield named.estimate(RowValues(mine, clusters=templates, bounds=BOUNDS[measure]), slice=part, note=note)


def _against(mine: pd.Series[float], others: pd.Series[float]) -> float:
    from scipy.stats import mannwhitneyu

    return float(mannwhitneyu(mine, others).pvalue)


def _gap(frame: pd.DataFrame, measure: Measure) -> Gap | None:
    """Largest difference of groups' means over their prompts; None where fewer than two have enough."""
    frame = frame[frame[measure].notna()]
    if frame.empty:
        return None
    fewest, groups = int(frame["fewest"].iloc[0]), sorted(set(frame["group"]))
    level, means = level_for(len(groups)), {}
    for group in groups:
        mine = frame[frame["group"] == group]
        values, templates = mine[measure].to_numpy(np.float64), mine["template"].to_numpy(object)
        made = mean_estimate(values, level, fewest, BOUNDS[measure], templates)
        if made is not None:
            means[group] = made
    if len(means) < 2:
        return None
    value, interval, apart = largest_difference(means)
    masked = sorted(set(groups) - set(means))
    which = farthest(apart, "over") + (f"; masked, under {fewest} prompts: {', '.join(masked)}" if masked else "")
    return value, interval, len(frame), which
