"""What the rows of an attack add up to."""

from __future__ import annotations

from typing import Any

import pandas as pd

from harness.metrics import Better, Metric, missing_metric
from suites.estimates import all_missing, estimate, mean, share, usable

METRICS = {
    "clean_accuracy": Better.HIGHER,
    "after_attack_accuracy": Better.HIGHER,
    "attack_success_rate": Better.LOWER,
    "mean_queries": Better.NEITHER,
    "mean_queries_success": Better.NEITHER,
    "perturbed_words": Better.NEITHER,
}


def measure_attacks(rows: pd.DataFrame) -> list[Metric]:
    """Accuracy before and after over all usable rows, success over the attacked ones, cost and change over those too.

    As TextAttack counts: skipped texts (already misclassified) are wrong before and after, and are not attacked; an
    attack that ran out of queries failed. Rows with errors count nowhere but as missing.
    """
    good, missing = usable(rows)
    if good.empty:
        return all_missing(METRICS, "no text could be attacked", missing)
    n = len(good)
    attacked = good[good["outcome"] != "skipped"]
    won = attacked[attacked["outcome"] == "succeeded"]
    note = _counts(good, missing)

    def rate(key: str, hits: int, of: int, why: str = "") -> Metric:
        if of == 0:
            return missing_metric(key, why, better=METRICS[key], missing=missing, unit="rate")
        return share(key, hits, of, better=METRICS[key], missing=missing, note=note)

    def average(key: str, chosen: pd.DataFrame, column: str, why: str, **fields: Any) -> Metric:
        if chosen.empty:
            return missing_metric(key, why, better=METRICS[key], missing=missing, unit=fields["unit"])
        values = chosen[column].astype("float64")
        return estimate(key, mean(values), len(chosen), better=METRICS[key], missing=missing, **fields)

    skipped, unbroken = "every text was already misclassified", "no attack succeeded"
    return [
        rate("clean_accuracy", len(attacked), n),
        rate("after_attack_accuracy", len(attacked) - len(won), n),
        rate("attack_success_rate", len(won), len(attacked), skipped),
        average("mean_queries", attacked, "queries", skipped, unit="queries", headline=False),
        average("mean_queries_success", won, "queries", unbroken, unit="queries", headline=False),
        average("perturbed_words", won, "changed_share", unbroken, unit="rate", note="of successful attacks"),
    ]


def _counts(good: pd.DataFrame, errors: int) -> str:
    """What a reader has to know of the rows besides their rates."""
    outcomes = good["outcome"].value_counts()
    parts = [f"{outcomes.get(name, 0)} {name}" for name in ("succeeded", "failed", "skipped")]
    limits = {
        "failed at the query budget, more queries may succeed": good["budget_exhausted"].astype(bool),
        "cut to their first words": good["words_cut"] > 0,
        "longer than the model reads": good["truncated"] > 0,
    }
    parts += [f"{int(hit.sum())} {what}" for what, hit in limits.items() if hit.any()]
    parts += [f"{errors} errors, their robustness is unknown"] if errors else []
    lists = sorted(good["stop_words"].unique())
    return f"{', '.join(parts)}; stop words not attacked: {' and '.join(lists)}"
