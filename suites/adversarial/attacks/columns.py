"""The columns that rows of every search share, whatever it attacks: what came of it, what it cost and changed."""

from __future__ import annotations

import pandas as pd
import pandera.pandas as pa
from pandera.typing import Series

from harness.api.probe import ProbeRow
from suites.adversarial.attacks.result import OUTCOMES


class SearchColumns(ProbeRow):
    """What one search found.

    Words and their changes are TextAttack's, edit_distance counts characters (Levenshtein), queries are as TextAttack
    charges them, with the first look at the text. A skipped text has no changes. seconds are the search's own and its
    share of the models' (a batch serves many texts). stop_words names the list of words left alone ("none": all may be
    changed), resources what the attack was built from: others make another attack. diff_spans (JSON) are places in the
    attacked text.
    """

    diff_spans: Series[str] = pa.Field(nullable=True)
    outcome: Series[str] = pa.Field(isin=list(OUTCOMES.values()))
    queries: Series[int] = pa.Field(ge=1)
    budget_exhausted: Series[bool]
    words: Series[int] = pa.Field(ge=1)
    changed_words: Series[pd.Int64Dtype] = pa.Field(ge=0, nullable=True)
    changed_share: Series[float] = pa.Field(ge=0, nullable=True)
    edit_distance: Series[pd.Int64Dtype] = pa.Field(ge=0, nullable=True)
    seconds: Series[float] = pa.Field(ge=0)
    seconds_search: Series[float] = pa.Field(ge=0)
    seconds_victim: Series[float] = pa.Field(ge=0)
    seconds_encoder: Series[float] = pa.Field(ge=0)
    stop_words: Series[str]
    resources: Series[str]
