"""True against false positives of membership, each threshold fixed on records that no rate is read from; pure.

Carlini et al. 2022: both axes logarithmic, since an attacker works at low false-positive rates.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import betaincinv

from dashboards.memorization.shapes import SIGNALS
from harness.api.curves import CurvePlot
from harness.api.lists import as_list
from harness.api.metrics import Metric
from harness.stats.intervals import FloatArray

COLUMNS = ("member", "fixing", *SIGNALS)
CURVE = ["fpr", "tpr", "low", "high", "fpr_low", "fpr_high", "members"]
NEEDED = 10
"""False positives expected at a rate, below which the rate is known no better than within a factor of two."""
_POINTS = 80
_LEVEL = 0.95
_SEED = 0
"""Of the lot that halves held-out records where a probe has not."""


def signals(good: pd.DataFrame) -> list[str]:
    """Signals that records of both sides have."""
    found = [name for name in SIGNALS if name in good]
    return [name for name in found if good.loc[good[name].notna(), "member"].nunique() == 2]


def curve(good: pd.DataFrame, signal: str) -> pd.DataFrame:
    """Points of one signal, rates rising: at each threshold the share of members, and of the other half, above it.

    The interval of a true-positive rate is exact, given the threshold; that of the false-positive rate too. Points
    where a rate is 0 are left out, as they have no place on a logarithmic axis; so are thresholds that fewer than
    `NEEDED` of the fixing half lie above.
    """
    scores = SIGNALS[signal] * good[signal].to_numpy(dtype=np.float64, na_value=np.nan)
    member = good["member"].to_numpy(dtype=np.bool_)
    fixing = _fixing(good)
    known = ~np.isnan(scores)
    members, fixed = np.sort(scores[known & member]), np.sort(scores[known & ~member & fixing])
    others = np.sort(scores[known & ~member & ~fixing])
    if not len(members) or min(len(fixed), len(others)) <= NEEDED:
        return pd.DataFrame(columns=CURVE)
    allowed = np.unique(np.geomspace(NEEDED, len(fixed) - 1, _POINTS).round().astype(int))
    thresholds = np.unique(fixed[::-1][allowed])[::-1]
    true, false = (_above(each, thresholds) for each in (members, others))
    (low, high), (fpr_low, fpr_high) = _exact(true, len(members)), _exact(false, len(others))
    found = pd.DataFrame(
        {
            "fpr": false / len(others),
            "tpr": true / len(members),
            "low": low,
            "high": high,
            "fpr_low": fpr_low,
            "fpr_high": fpr_high,
            "members": len(members),
        }
    )
    return found[(found["fpr"] > 0) & (found["tpr"] > 0)].drop_duplicates(ignore_index=True)


def least_rate(good: pd.DataFrame) -> float:
    """The lowest false-positive rate that so many held-out records can show, in either half; 1: none."""
    held_out, fixing = ~good["member"].to_numpy(dtype=np.bool_), _fixing(good)
    fewest = min(int((held_out & fixing).sum()), int((held_out & ~fixing).sum()))
    return min(1.0, NEEDED / fewest) if fewest else 1.0


def ceiling(held: Iterable[Any], rates: Iterable[Any]) -> pd.DataFrame:
    """What the claim allows any attack: fpr, and the most that the true-positive rate can be; empty without a claim.

    `held`: of each row the highest true-positive rates, at the `rates` of the params.
    """
    most = next((found for cell in held if (found := as_list(cell))), [])
    pairs = sorted((float(rate), float(one)) for rate, one in zip(rates, most, strict=False) if rate > 0 and one > 0)
    return pd.DataFrame(pairs, columns=["fpr", "most"])


def claimed(plots: Iterable[CurvePlot]) -> pd.DataFrame:
    """The same, of the curves that an audit kept: those that follow from the claim."""
    points = [(at.x, at.y) for plot in plots for each in plot.curves if each.claimed for at in each.points]
    return pd.DataFrame(points, columns=["fpr", "most"])


def why_unjudged(metrics: Iterable[Metric], probe: str) -> str:
    """Why the audit gave membership no value, which holds for its curve as well; '' where it gave one."""
    own = [each for each in metrics if each.key.rpartition("/")[0] == probe and each.key.endswith("auc")]
    main = [each for each in own if not each.key.endswith(("blind_auc", "base_auc", "permuted_auc"))]
    return main[0].note if main and all(each.value is None for each in main) else ""


def _fixing(good: pd.DataFrame) -> NDArray[np.bool_]:
    if "fixing" in good:
        return good["fixing"].to_numpy(dtype=np.bool_, na_value=False)
    return np.asarray(np.random.default_rng(_SEED).random(len(good)) < 0.5)


def _above(scores: FloatArray, thresholds: FloatArray) -> FloatArray:
    """How many of the sorted scores lie above each threshold."""
    return np.asarray(len(scores) - np.searchsorted(scores, thresholds, side="right"), dtype=np.float64)


def _exact(hits: FloatArray, n: int) -> tuple[FloatArray, FloatArray]:
    """Clopper-Pearson of every count at once."""
    tail = (1 - _LEVEL) / 2
    low = np.where(hits > 0, betaincinv(np.maximum(hits, 1), n - hits + 1, tail), 0.0)
    high = np.where(hits < n, betaincinv(hits + 1, np.maximum(n - hits, 1), 1 - tail), 1.0)
    return np.minimum(low, hits / n), np.maximum(high, hits / n)
