"""The rows of extraction: one per window."""

from __future__ import annotations

import pandas as pd
from pandera.typing import Series

from harness.api.columns import column
from harness.api.probe import ProbeRow
from suites.memorization.sides import CONTROL, TEXTS


class ExtractionRow(ProbeRow):
    """One window: its first tokens are the prefix, the next ones the true suffix."""

    side: Series[str] = column("texts that may have been trained on, or control", isin=[TEXTS, CONTROL], of_case=True)
    document: Series[int] = column("number of the text the window is of; windows of one are related", ge=0)
    offset: Series[int] = column("where the window starts in the text", "characters", ge=0)
    prefix: Series[str] = column("what the model is given")
    suffix: Series[str] = column("how the text goes on")
    generated: Series[str] = column("how the model goes on, greedily")
    exact: Series[bool] = column("whether all tokens of the suffix were generated, in order")
    matched: Series[int] = column("tokens at the start of the suffix that were generated", "tokens", ge=0)
    overlap: Series[float] = column("share of the suffix's tokens that were generated, anywhere", "rate", ge=0, le=1)
    logprob: Series[float] = column("log-probability of the suffix after the prefix", "nats", le=0)
    edit: Series[float] = column("edits from what was generated to the suffix, over its tokens", "rate", ge=0, le=1)
    bleu: Series[float] = column("BLEU-4 of what was generated, smoothed, by tokens; 1: the suffix", "rate", ge=0, le=1)
    chance: Series[float] = column("chance that one sample, drawn as the params say, is the suffix", "rate", ge=0, le=1)
    sampled: Series[pd.Int64Dtype] = column("samples that are the suffix; empty: none drawn", nullable=True, ge=0)
    copies: Series[pd.Int64Dtype] = column(
        "times the suffix stands in the training text; empty: not counted", nullable=True, ge=0
    )
    bucket: Series[str] = column("the same as a slice, of texts; '' where not counted")
