"""What the rows of an attack add up to.

As TextAttack counts: skipped texts (of an untargeted attack the misclassified ones) are not attacked; an attack that
ran out of queries failed. Rows with errors count nowhere but as missing.
"""

from __future__ import annotations

import operator
from typing import Any

import pandas as pd

from harness.api.declared import Column, Declared, MeanOf, Rows, ShareOf, equal, of
from harness.api.estimates import POSITIVE
from harness.api.metrics import Better
from suites.adversarial.semantics.filtered import filtered_success
from suites.adversarial.semantics.params import SemanticsParams

ATTACKED = of(lambda outcome: outcome != "skipped", "outcome")
WON = equal("outcome", "succeeded")
SKIPPED, UNBROKEN = "every text was already what the attack is after", "no attack succeeded"
_MISCLASSIFIED = "every text was already misclassified"


def attack_metrics(semantics: SemanticsParams | None) -> tuple[Declared, ...]:
    """Accuracy before and after over all usable rows, success over the attacked ones, cost and change over those too.

    With `semantics` also the success that keeps its thresholds, and what they reject.
    """
    return (
        ShareOf("clean_accuracy", Better.HIGHER, of(operator.eq, "predicted", "label"), note=_counts),
        ShareOf(
            *("after_attack_accuracy", Better.HIGHER, of(_right_at_last, "final_predicted", "predicted", "label")),
            note=_counts,
        ),
        ShareOf("attack_success_rate", Better.LOWER, WON, over=ATTACKED, empty=SKIPPED, note=_counts),
        _queries("mean_queries", ATTACKED, SKIPPED),
        _queries("mean_queries_success", WON, UNBROKEN),
        MeanOf(
            *("perturbed_words", Better.NEITHER, "changed_share"),
            unit="rate",
            over=WON,
            empty=UNBROKEN,
            note="of successful attacks",
        ),
        *(() if semantics is None else (filtered_success(semantics),)),
    )


def reduction_metrics() -> tuple[Declared, ...]:
    """How far texts can be shortened while the predicted class stays: what is left, over correctly classified texts."""
    over: dict[str, Any] = {"over": ATTACKED, "empty": _MISCLASSIFIED}
    left = of(_words_left, "words", "changed_words")
    return (
        ShareOf("clean_accuracy", Better.HIGHER, of(operator.eq, "predicted", "label"), note=_counts),
        ShareOf(
            *("reduced_to_one_word_rate", Better.LOWER, of(_one_word, "words", "changed_words")), note=_counts, **over
        ),
        MeanOf("words_left", Better.HIGHER, left, unit="words", bounds=POSITIVE, **over),
        MeanOf(
            *("share_left", Better.HIGHER, of(lambda share: 1 - share.astype("float64"), "changed_share")),
            unit="rate",
            **over,
        ),
        _queries("mean_queries", ATTACKED, _MISCLASSIFIED),
    )


def first_error(rows: pd.DataFrame) -> str:
    """`: ` and the error that most rows have; '' without any."""
    errors = rows["error"].dropna() if "error" in rows else pd.Series(dtype="str")
    return f": {errors.mode().iloc[0]}" if len(errors) else ""


def _queries(key: str, over: Column, empty: str) -> MeanOf:
    return MeanOf(
        *(key, Better.NEITHER, "queries"), unit="queries", bounds=POSITIVE, headline=False, over=over, empty=empty
    )


def _right_at_last(final: pd.Series[Any], first: pd.Series[Any], label: pd.Series[Any]) -> pd.Series[Any]:
    """Whether the class predicted at last is the true one; of skipped texts the first."""
    return final.where(final.notna(), first) == label


def _words_left(words: pd.Series[Any], changed: pd.Series[Any]) -> pd.Series[Any]:
    return words.astype("float64") - changed.astype("float64")


def _one_word(words: pd.Series[Any], changed: pd.Series[Any]) -> pd.Series[Any]:
    return _words_left(words, changed) <= 1


def _counts(rows: Rows) -> str:
    """What a reader has to know of the rows besides their rates."""
    good = rows.good
    outcomes = good["outcome"].value_counts()
    named = [
        name for name in ("succeeded", "failed", "maximised", "skipped") if name != "maximised" or name in outcomes
    ]
    parts = [f"{outcomes.get(name, 0)} {name}" for name in named]
    limits = {
        "failed at the query budget, more queries may succeed": good["budget_exhausted"].astype(bool),
        "cut to their first words": good["words_cut"] > 0,
        "longer than the model reads": good["truncated"] > 0,
    }
    parts += [f"{int(hit.sum())} {what}" for what, hit in limits.items() if hit.any()]
    parts += [f"{rows.missing} errors, their robustness is unknown"] if rows.missing else []
    lists = sorted(good["stop_words"].unique())
    return f"{', '.join(parts)}; stop words not attacked: {' and '.join(lists)}"
