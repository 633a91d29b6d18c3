"""The columns that rows of every search share, whatever it attacks: what came of it, what it cost and changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
from pandera.typing import Series

from harness.api.columns import column
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

    diff_spans: Series[str] = column("JSON list of the changed places", "characters", nullable=True)
    outcome: Series[str] = column(
        "how the attack ended; skipped: it already was what the attack is after", isin=list(OUTCOMES.values())
    )
    queries: Series[int] = column("texts the attack asked the model about, the first look included", "queries", ge=1)
    budget_exhausted: Series[bool] = column("whether the attack failed at the most queries it may make")
    words: Series[int] = column("words of the original", "words", ge=1)
    changed_words: Series[pd.Int64Dtype] = column("words that differ at last", "words", ge=0, nullable=True)
    changed_share: Series[float] = column("changed_words over words", "rate", ge=0, nullable=True)
    edit_distance: Series[pd.Int64Dtype] = column("edits from original to last", "characters", ge=0, nullable=True)
    seconds: Series[float] = column("time the text took, its share of the models' included", "seconds", ge=0)
    seconds_search: Series[float] = column("of these, the search with its masked language model", "seconds", ge=0)
    seconds_victim: Series[float] = column("of these, the attacked model", "seconds", ge=0)
    seconds_encoder: Series[float] = column("of these, the sentence encoder", "seconds", ge=0)
    stop_words: Series[str] = column("list of words left alone; none: all may be changed")
    resources: Series[str] = column("what the attack was built from")


class AttackColumns(ProbeRow):
    """A text or pair, before and after.

    Scores are the true class's probabilities. A skipped text (already what the attack is after) has no perturbed one;
    of a failed or maximised attack it is the best found. words_cut were left out before the attack (max_words),
    truncated counts tokens of the text that the model cannot read.
    """

    text: Series[str] = column("the text as it was")
    pair: Series[str] = column("its second text, of pairs", nullable=True)
    perturbed_text: Series[str] = column("the text at last; empty where skipped", nullable=True)
    perturbed_pair: Series[str] = column("the second text at last", nullable=True)
    label: Series[int] = column("true class, by index", ge=0)
    predicted: Series[int] = column("class predicted at first, by index", ge=0)
    final_predicted: Series[pd.Int64Dtype] = column("class predicted at last, by index", ge=0, nullable=True)
    score: Series[float] = column("probability of the true class at first", ge=0, le=1)
    perturbed_score: Series[float] = column("probability of the true class at last", ge=0, le=1, nullable=True)
    words_cut: Series[int] = column("words left out before the attack", "words", ge=0)
    truncated: Series[int] = column("tokens of the text that the model cannot read", "tokens", ge=0)


class AttackRow(SemanticColumns, SearchColumns, AttackColumns):
    """One row per text: the text, what the search found, how far it is from the original.

    diff_spans are places in the text, of a pair in both joined by a line break.
    """
