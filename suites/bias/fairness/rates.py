"""Selection, error and calibration of groups, one estimate each; over fewer than `fewest` records it is masked."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from harness.api.means import ratio_interval, unit_sums
from harness.api.metrics import RowValues
from harness.api.scorer import Bools, Floats
from harness.stats.intervals import share_reach
from suites.bias.extremes import Estimate

RATES = ("selection", "true_positive", "false_positive", "calibration")


def share_estimate(hits: Bools, level: float, fewest: int) -> Estimate | None:
    """Share of `hits` [n], and how far it may reach; None where n is below `fewest`."""
    if len(hits) < max(fewest, 1):
        return None
    share = float(hits.mean())
    down, up = share_reach(int(hits.sum()), len(hits), level)
    return share, max(0.0, share - down), min(1.0, share + up)


def mean_estimate(
    values: Floats, level: float, fewest: int, bounds: tuple[float, float], clusters: Floats | None = None
) -> Estimate | None:
    """Mean of bounded `values` [n] with Gaffke's bound over rows or clusters; None where these are below `fewest`."""
    names = None if clusters is None else np.asarray(clusters, dtype=object)
    if (len(values) if names is None else len(pd.unique(names))) < max(fewest, 1):
        return None
    given = RowValues(values, None, names, None, bounds)
    interval = ratio_interval(unit_sums(np.stack([values, np.ones(len(values))]), names), given, level=level)
    assert interval is not None  # bounded values always have one
    return float(values.mean()), interval.low, interval.high


def group_rates(
    frame: pd.DataFrame, groups: pd.Series[str], level: float, fewest: int
) -> Mapping[str, dict[str, Estimate]]:
    """By rate and group: selection, true positive, false positive rate, and mean probability minus share positive.

    `frame` has per record whether the label and the answer are the positive class, and that class's probability.
    """
    found: dict[str, dict[str, Estimate]] = {name: {} for name in RATES}
    for group in sorted(set(groups)):
        mine = frame[groups == group]
        label, answer = (mine[name].to_numpy(np.bool_) for name in ("positive", "answered"))
        off = mine["probability"].to_numpy(np.float64) - label
        made = {
            "selection": share_estimate(answer, level, fewest),
            "true_positive": share_estimate(answer[label], level, fewest),
            "false_positive": share_estimate(answer[~label], level, fewest),
            "calibration": mean_estimate(off, level, fewest, (-1.0, 1.0)),
        }
        for name, estimate in made.items():
            if estimate is not None:
                found[name][group] = estimate
    return found
