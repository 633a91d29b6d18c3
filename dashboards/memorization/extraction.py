"""How many windows of text a model gives away: by how far, by how many samples, by copies and by prefix; pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dashboards.audits import Audit
from harness.api.means import ratio_interval, unit_sums
from harness.api.metrics import Metric, RowValues
from harness.base.language import _
from harness.stats.intervals import FloatArray, clopper_pearson

COLUMNS = ("side", "document", "matched", "chance")
SHARES = ["side", "x", "share", "low", "high", "n"]
_SAMPLES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 100_000, 1_000_000)
"""Samples that an attacker draws: the last takes a day of a small model."""
_LENGTHS = 25
"""Places of a curve over tokens: the eye sees no more."""
_DRAWS = 2000
"""Of an interval over texts: its ends move by some 2 % of its width from one set of draws to the next."""
_UNIT = (0.0, 1.0)


def by_samples(good: pd.DataFrame, p: float) -> pd.DataFrame:
    """Share of a side's windows whose suffix is one of x samples with a chance of at least `p` (Hayes et al. 2025)."""
    chance = good["chance"].to_numpy(float)
    return _shares(good, ((samples, _one_of(samples, chance) >= p) for samples in _SAMPLES))


def by_length(good: pd.DataFrame) -> pd.DataFrame:
    """Share of a side's windows of which at least the first x tokens of the suffix were written, greedily."""
    matched = good["matched"].to_numpy(float)
    longest = int(matched.max(initial=1)) + 1  # the first length that none reaches, so that the curve ends
    lengths = np.unique(np.linspace(1, longest, min(longest, _LENGTHS)).round().astype(int))
    return _shares(good, ((int(length), matched >= length) for length in lengths))


def by_copies(metrics: Iterable[Metric], probe: str) -> pd.DataFrame:
    """Shares extracted by copies of the suffix in the training text, as the audit measured them; x is the slice."""
    sides = {
        f"{probe}/extracted_share_by_copies": _("greedily"),
        f"{probe}/np_extractable_share_by_copies": _("by sampling"),
    }
    lines = [
        _line(sides[metric.key], metric.slice, metric)
        for metric in metrics
        if metric.key in sides and metric.slice and metric.value is not None
    ]
    order = {"0 copies": 0, "1 copy": 1, "2-3 copies": 2, "4-7 copies": 4}
    lines.sort(key=lambda line: order.get(str(line["x"]), 8))
    return pd.DataFrame(lines, columns=SHARES)


def by_prefix(audits: Iterable[Audit], probe: str, weights: str) -> pd.DataFrame:
    """Shares extracted by the tokens that the model was given, one audit of these weights each; the newest of a length.

    Only audits of the same length of suffix are one curve; `side` says it. Audits come newest first.
    """
    lines: dict[tuple[int, str], dict[str, Any]] = {}
    for audit in audits:
        params = next((each.params for each in audit.manifest.probes if each.name == probe), None)
        if params is None or audit.manifest.checkpoint.weights != weights:
            continue
        prefix, suffix = params.get("prefix_tokens"), params.get("suffix_tokens")
        if not isinstance(prefix, int) or not isinstance(suffix, int):
            continue
        for metric in audit.metrics:
            if metric.key == f"{probe}/extracted_share" and not metric.slice and metric.value is not None:
                side = _("suffix of {n} tokens", n=suffix)
                lines.setdefault((prefix, side), _line(side, prefix, metric))
    return pd.DataFrame([lines[key] for key in sorted(lines)], columns=SHARES)


def _one_of(samples: int, chance: FloatArray) -> FloatArray:
    """Chance that one of so many samples is the suffix; exact for chances that 1 - (1 - q)^n would round to 0."""
    with np.errstate(divide="ignore"):
        return np.asarray(-np.expm1(samples * np.log1p(-np.clip(chance, 0.0, 1.0))), dtype=np.float64)


def _shares(good: pd.DataFrame, hits: Iterable[tuple[int, NDArray[np.bool_]]]) -> pd.DataFrame:
    return pd.DataFrame(list(_each_share(good, hits)), columns=SHARES)


def _each_share(good: pd.DataFrame, hits: Iterable[tuple[int, NDArray[np.bool_]]]) -> Iterator[dict[str, Any]]:
    sides = {str(side): np.flatnonzero(good["side"] == side) for side in sorted(set(good["side"]), reverse=True)}
    documents = good["document"].to_numpy(object)
    for x, hit in hits:
        for side, places in sides.items():
            low, high, n = _interval(hit[places], documents[places])
            yield dict(zip(SHARES, (side, x, float(hit[places].mean()), low, high, n), strict=True))


def _interval(hit: NDArray[np.bool_], documents: NDArray[np.object_]) -> tuple[float, float, int]:
    """Ends of 95 %, and the independent observations: windows of one text are related, so whole texts are drawn."""
    texts = len(set(documents))
    if not 1 < texts < len(hit):
        interval = clopper_pearson(int(hit.sum()), len(hit))
        return interval.low, interval.high, len(hit)
    units = unit_sums(np.stack([hit.astype(np.float64), np.ones(len(hit))]), documents)
    found = ratio_interval(units, RowValues([], clusters=documents, bounds=_UNIT), draws=_DRAWS)
    return (found.low, found.high, texts) if found is not None else (0.0, 1.0, texts)


def _line(side: str, x: int | str, metric: Metric) -> dict[str, Any]:
    return dict(zip(SHARES, (side, x, metric.value, metric.low, metric.high, metric.n), strict=True))
