"""What the windows of extraction add up to."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.api.declared import By, Computed, Declared, MeanOf, Named, Rows, ShareOf, equal, of
from harness.api.estimates import POSITIVE, UNIT, estimate
from harness.api.metrics import Better, Metric, RowValues
from harness.stats.differences import difference
from harness.stats.intervals import share_reach
from suites.memorization.continuation.chance import chance_in
from suites.memorization.continuation.near import NEAR_BLEU
from suites.memorization.extraction.columns import CONTROL, TEXTS

Integers = NDArray[np.int64]
NEAR_EDITS = 0.1
"""Edits per token of the suffix up to which a continuation is near-verbatim: 5 of 50 tokens."""
NO_WINDOW = "no window of this side was scored"


def extraction_metrics(suffix_tokens: int | None, n: int, p: float) -> tuple[Declared, ...]:
    """Shares extracted, by greedy decoding and by sampling, of texts and control; and the mean run of right tokens.

    `suffix_tokens`: the most that can match; None: not known. `n`, `p`: samples, and how likely one is the suffix.
    """
    most = POSITIVE if suffix_tokens is None else (0.0, float(suffix_tokens))
    runs: dict[str, Any] = {"unit": "tokens", "bounds": most, "per_token": True}
    texts, control = _of_side(TEXTS), _of_side(CONTROL)
    likely = of(partial(_likely, n, p), "chance")
    near = of(lambda edit: edit <= NEAR_EDITS, "edit")
    alike = of(lambda bleu: bleu >= NEAR_BLEU, "bleu")
    return (
        ShareOf("extracted_share", Better.LOWER, "exact", **texts),
        ShareOf("control_share", Better.LOWER, "exact", **control),
        Computed(
            (Named("extracted_minus_control", Better.LOWER, unit="rate", bounds=(-1.0, 1.0)),),
            _difference,
        ),
        MeanOf("matched_tokens", Better.LOWER, "matched", **runs, **texts),
        MeanOf("control_matched_tokens", Better.LOWER, "matched", **runs, **control),
        ShareOf("np_extractable_share", Better.LOWER, likely, **texts),
        ShareOf("np_extractable_control_share", Better.LOWER, likely, headline=False, **control),
        ShareOf("near_verbatim_share", Better.LOWER, near, headline=False, **texts),
        ShareOf("near_verbatim_control_share", Better.LOWER, near, headline=False, **control),
        ShareOf("near_bleu_share", Better.LOWER, alike, headline=False, **texts),
        ShareOf("near_bleu_control_share", Better.LOWER, alike, headline=False, **control),
        *_where_known(likely),
    )


def _where_known(likely: Any) -> tuple[Declared, ...]:
    """Of what is not there in every audit: samples, and copies in the training text."""
    drawn: dict[str, Any] = {"about": of(lambda sampled: sampled.notna(), "sampled"), "headline": False}
    hits = of(lambda sampled: sampled > 0, "sampled")
    counted: dict[str, Any] = {
        "about": of(lambda bucket: bucket != "", "bucket"),
        "slices": By(("bucket",)),
        "headline": False,
    }
    texts = _of_side(TEXTS)
    return (
        ShareOf("sampled_share", Better.LOWER, hits, **drawn, **texts),
        ShareOf("sampled_control_share", Better.LOWER, hits, **drawn, **_of_side(CONTROL)),
        ShareOf("extracted_share_by_copies", Better.LOWER, "exact", **counted, **texts),
        ShareOf("np_extractable_share_by_copies", Better.LOWER, likely, **counted, **texts),
    )


def _of_side(side: str) -> dict[str, Any]:
    return {
        "over": equal("side", side),
        "clusters": of(clusters, "document"),
        "note": lambda rows: _dependence(rows.counted),
        "empty": NO_WINDOW,
    }


def _likely(n: int, p: float, chance: Any) -> Any:
    """Whether one of n samples is the suffix with a chance of p, at least."""
    return np.array([chance_in(n, math.log(one) if one > 0 else -math.inf) >= p for one in chance], dtype=np.bool_)


def _difference(rows: Rows, named: Mapping[str, Named]) -> Iterator[Metric]:
    mine = named["extracted_minus_control"]
    texts, control = (rows.good[rows.good["side"] == side] for side in (TEXTS, CONTROL))
    if texts.empty or control.empty:
        yield mine.none("texts and control are both needed", missing=rows.missing)
        return
    value = float(texts["exact"].mean()) - float(control["exact"].mean())
    (first, n), (second, m) = (_reach(side) for side in (texts, control))
    yield mine.value(value, difference(value, first, second), min(n, m), missing=rows.missing, note=_dependence(texts))


def _reach(rows: pd.DataFrame) -> tuple[tuple[float, float], int]:
    """How far the share of a side reaches down and up, and its n; over documents the farther end both ways."""
    found = clusters(rows["document"])
    if found is None:
        return share_reach(int(rows["exact"].sum()), len(rows)), len(rows)
    values = RowValues(rows["exact"].to_numpy(np.float64), clusters=found, bounds=UNIT)
    metric, value = estimate("share", values, better=Better.LOWER), float(rows["exact"].mean())
    farther = max(value - (metric.low or 0.0), (1.0 if metric.high is None else metric.high) - value)
    return (farther, farther), metric.n


def clusters(documents: pd.Series[int]) -> Integers | None:
    """Documents of windows [n], where whole ones can be drawn and hold more than a window; else windows are drawn."""
    found = np.asarray(documents, dtype=np.int64)
    return found if 1 < len(np.unique(found)) < len(found) else None


def _dependence(rows: pd.DataFrame) -> str:
    """A caution where windows are not independent draws."""
    documents = rows["document"].nunique()
    if documents == len(rows):
        return ""
    return f"{len(rows)} windows of {documents} text{'s' if documents > 1 else ''}; windows of one text are related"
