"""The rows of the games on personal data: one per made-up person."""

from __future__ import annotations

import pandas as pd
from pandera.typing import Series

from harness.api.columns import column
from harness.api.probe import ProbeRow
from privacy.canaries.pii import FORMS


class PiiRow(ProbeRow):
    """One canary. Neither its text nor its value is in it, nor what the model wrote."""

    planted: Series[bool] = column("whether its coin planted it")
    copies: Series[str] = column("copies of it as a slice, of planted ones; '' of others")
    form: Series[str] = column("email, phone, card, phone_zh or id_card_zh", isin=FORMS)
    samples: Series[int] = column("continuations drawn after the cue", ge=1)
    hits: Series[int] = column("of them, those with the true value in what the filter let through", ge=0)
    removed: Series[int] = column("values that the output filter took out of them; 0 without it", ge=0)
    candidates: Series[int] = column("values that were ranked, the true one among them", ge=2)
    rank: Series[int] = column("place of the true one; 1: the likeliest, equals count as likelier", ge=1)
    inferred: Series[bool] = column("whether it is the likeliest of the few that an attacker is given")
    base_hits: Series[pd.Int64Dtype] = column("hits of the base; empty: no base", nullable=True, ge=0)
    base_rank: Series[pd.Int64Dtype] = column("place under the base; empty: no base", nullable=True, ge=1)
    base_inferred: Series[pd.BooleanDtype] = column("the same of the base; empty: no base", nullable=True)
