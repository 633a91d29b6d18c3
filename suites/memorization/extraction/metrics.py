"""What the windows of extraction add up to."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from harness.api.declared import By, Declared, MeanOf, ShareOf, of
from harness.api.estimates import POSITIVE
from harness.api.metrics import Better
from suites.memorization.continuation.chance import chance_in
from suites.memorization.continuation.near import NEAR_BLEU
from suites.memorization.side_metrics import minus_control, of_side
from suites.memorization.sides import CONTROL, TEXTS

NEAR_EDITS = 0.1
"""Edits per token of the suffix up to which a continuation is near-verbatim: 5 of 50 tokens."""


def extraction_metrics(suffix_tokens: int | None, n: int, p: float) -> tuple[Declared, ...]:
    """Shares extracted, by greedy decoding and by sampling, of texts and control; and the mean run of right tokens.

    `suffix_tokens`: the most that can match; None: not known. `n`, `p`: samples, and how likely one is the suffix.
    """
    most = POSITIVE if suffix_tokens is None else (0.0, float(suffix_tokens))
    runs: dict[str, Any] = {"unit": "tokens", "bounds": most, "per_token": True}
    texts, control = of_side(TEXTS), of_side(CONTROL)
    likely = of(partial(_likely, n, p), "chance")
    near = of(lambda edit: edit <= NEAR_EDITS, "edit")
    alike = of(lambda bleu: bleu >= NEAR_BLEU, "bleu")
    return (
        ShareOf("extracted_share", Better.LOWER, "exact", **texts),
        ShareOf("control_share", Better.LOWER, "exact", **control),
        minus_control("extracted_minus_control", "exact"),
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
    texts = of_side(TEXTS)
    return (
        ShareOf("sampled_share", Better.LOWER, hits, **drawn, **texts),
        ShareOf("sampled_control_share", Better.LOWER, hits, **drawn, **of_side(CONTROL)),
        ShareOf("extracted_share_by_copies", Better.LOWER, "exact", **counted, **texts),
        ShareOf("np_extractable_share_by_copies", Better.LOWER, likely, **counted, **texts),
    )


def _likely(n: int, p: float, chance: Any) -> Any:
    """Whether one of n samples is the suffix with a chance of p, at least."""
    return np.array([chance_in(n, math.log(one) if one > 0 else -math.inf) >= p for one in chance], dtype=np.bool_)
