"""What the rows of attacks on prompts add up to."""

from __future__ import annotations

from typing import Any

import pandas as pd

from harness.api.declared import Column, Declared, MeanOf, Rows, ShareOf, equal, of
from harness.api.estimates import POSITIVE
from harness.api.metrics import Better
from suites.adversarial.semantics.filtered import filtered_success
from suites.adversarial.semantics.params import SemanticsParams

_ATTACKED = of(lambda outcome: outcome != "skipped", "outcome")
_WON = equal("outcome", "succeeded")
SKIPPED, UNBROKEN = "no prompt had its answer to begin with", "no attack succeeded"


def prompt_metrics(semantics: SemanticsParams | None) -> tuple[Declared, ...]:
    """Accuracy of greedy answers before and after over all usable rows; success, drop and cost over the attacked ones.

    The drop is paired: each prompt's mean log-probability per answer token, less that of the last prompt found for it,
    be the attack a success or not. With `semantics` also the success that keeps its thresholds, and what they reject.
    """
    return (
        ShareOf("clean_accuracy", Better.HIGHER, "matched", note=_counts),
        ShareOf("after_attack_accuracy", Better.HIGHER, of(_at_last, "final_matched", "matched"), note=_counts),
        ShareOf("attack_success_rate", Better.LOWER, _WON, over=_ATTACKED, empty=SKIPPED, note=_counts),
        MeanOf(
            *("logprob_drop", Better.LOWER, of(_drops, "logprob", "perturbed_logprob")),
            unit="nats",
            over=_ATTACKED,
            empty=SKIPPED,
            note="per answer token, over attacked prompts",
        ),
        _queries("mean_queries", _ATTACKED, SKIPPED),
        _queries("mean_queries_success", _WON, UNBROKEN),
        MeanOf(
            *("perturbed_words", Better.NEITHER, "changed_share"),
            unit="rate",
            over=_WON,
            empty=UNBROKEN,
            note="of successful attacks",
        ),
        *(() if semantics is None else (filtered_success(semantics),)),
    )


def _queries(key: str, over: Column, empty: str) -> MeanOf:
    return MeanOf(
        *(key, Better.NEITHER, "queries"), unit="queries", bounds=POSITIVE, headline=False, over=over, empty=empty
    )


def _at_last(final: pd.Series[Any], first: pd.Series[Any]) -> pd.Series[Any]:
    """Whether the answer is given at last; of skipped prompts at first."""
    return final.where(final.notna(), first).astype(bool)


def _drops(first: pd.Series[Any], last: pd.Series[Any]) -> pd.Series[Any]:
    return first.astype("float64") - last.astype("float64")


def _counts(rows: Rows) -> str:
    """What a reader has to know of the rows besides their rates."""
    good = rows.good
    outcomes = good["outcome"].value_counts()
    parts = [f"{outcomes.get(name, 0)} {name}" for name in ("succeeded", "failed", "skipped")]
    exhausted = int(good["budget_exhausted"].astype(bool).sum())
    parts += [f"{exhausted} failed at the query budget, more queries may succeed"] if exhausted else []
    parts += [f"{rows.missing} errors, their robustness is unknown"] if rows.missing else []
    lists = sorted(good["stop_words"].unique())
    return f"{', '.join(parts)}; stop words not attacked: {' and '.join(lists)}"
