"""The columns that rows of every search share, whatever it attacks: what came of it, what it cost and changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import pandera.pandas as pa
from pandera.typing import Series

from harness.api.probe import ProbeRow
from suites.adversarial.semantics.columns import SemanticColumns

if TYPE_CHECKING:
    pass


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


class AttackColumns(ProbeRow):
    """A text or pair, before and after.

    Scores are the true class's probabilities. A skipped text (already what the attack is after) has no perturbed one;
    of a failed or maximised attack it is the best found. words_cut were left out before the attack (max_words),
    truncated counts tokens of the text that the model cannot read.
    """

    text: Series[str]
    pair: Series[str] = pa.Field(nullable=True)
    perturbed_text: Series[str] = pa.Field(nullable=True)
    perturbed_pair: Series[str] = pa.Field(nullable=True)
    label: Series[int] = pa.Field(ge=0)
    predicted: Series[int] = pa.Field(ge=0)
    final_predicted: Series[pd.Int64Dtype] = pa.Field(ge=0, nullable=True)
    score: Series[float] = pa.Field(ge=0, le=1)
    perturbed_score: Series[float] = pa.Field(ge=0, le=1, nullable=True)
    words_cut: Series[int] = pa.Field(ge=0)
    truncated: Series[int] = pa.Field(ge=0)


class AttackRow(SemanticColumns, SearchColumns, AttackColumns):
    """One row per text: the text, what the search found, how far it is from the original.

    diff_spans are places in the text, of a pair in both joined by a line break.
    """
