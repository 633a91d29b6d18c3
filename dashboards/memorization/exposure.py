"""Exposure of planted secrets by how often they stood in the records; pure."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pandas as pd

from harness.api.estimates import estimate
from harness.api.metrics import Better, RowValues

COLUMNS = ("planted", "repetitions", "exposure", "log2_space", "found")
NOT_PLANTED = "not planted"
NOTHING = 1 / math.log(2)
"""Bits of a model that prefers nothing: log2 N less the mean of log2 of a rank drawn from 1 to N, for large N."""
MEANS = ["copies", "mean", "low", "high", "n", "found"]


def points(good: pd.DataFrame) -> pd.DataFrame:
    """A line per secret: copies (those not planted last), and its exposure."""
    found = pd.DataFrame({"copies": _copies(good), "exposure": good["exposure"].astype(float)})
    return found.sort_values("copies", key=lambda copies: copies.map(_order), kind="stable", ignore_index=True)


def means(good: pd.DataFrame) -> pd.DataFrame:
    """By copies: mean exposure with its interval, how many secrets, and how many no other was as likely as.

    A mean needs no shape of its values, since none lies beyond 0 and the bits of its space (Gaffke's bound).
    """
    groups = good.assign(copies=_copies(good)).groupby("copies", sort=False)
    lines = [_mean(str(name), rows) for name, rows in sorted(groups, key=lambda each: _order(str(each[0])))]
    return pd.DataFrame(lines, columns=MEANS)


def most(good: pd.DataFrame) -> float:
    """Bits of the largest space that a secret was drawn from: no exposure is larger."""
    return float(good["log2_space"].max())


def _mean(copies: str, rows: pd.DataFrame) -> dict[str, Any]:
    top = most(rows)
    values = RowValues(rows["exposure"].to_numpy(float), bounds=(0.0, top))
    metric = estimate("exposure", values, better=Better.LOWER)
    low, high = max(0.0, metric.low or 0.0), min(top, top if metric.high is None else metric.high)  # of rounding
    found = int(rows["found"].sum()) if "found" in rows else None
    return dict(zip(MEANS, (copies, metric.value, low, high, metric.n, found), strict=True))


def _copies(good: pd.DataFrame) -> list[str]:
    return list(_named(good))


def _named(good: pd.DataFrame) -> Iterator[str]:
    for planted, copies in zip(good["planted"], good["repetitions"], strict=True):
        yield str(int(copies)) if planted else NOT_PLANTED


def _order(copies: str) -> float:
    return math.inf if copies == NOT_PLANTED else float(copies)
