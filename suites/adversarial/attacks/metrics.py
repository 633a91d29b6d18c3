"""What the rows of an attack add up to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from harness.api.estimates import POSITIVE, UNIT, all_missing, estimate, share, usable
from harness.api.metrics import Better, Metric, RowValues, missing_metric
from suites.adversarial.semantics.filtered import filtered_success
from suites.adversarial.semantics.params import SemanticsParams

METRICS = {
    "clean_accuracy": Better.HIGHER,
    "after_attack_accuracy": Better.HIGHER,
    "attack_success_rate": Better.LOWER,
    "mean_queries": Better.NEITHER,
    "mean_queries_success": Better.NEITHER,
    "perturbed_words": Better.NEITHER,
}
REDUCTION_METRICS = {
    "clean_accuracy": Better.HIGHER,
    "reduced_to_one_word_rate": Better.LOWER,
    "words_left": Better.HIGHER,
    "share_left": Better.HIGHER,
    "mean_queries": Better.NEITHER,
}
VALUE_COLUMNS = ("label", "predicted", "final_predicted", "outcome")
SKIPPED, UNBROKEN = "every text was already what the attack is after", "no attack succeeded"


def measure_attacks(rows: pd.DataFrame, semantics: SemanticsParams | None = None) -> list[Metric]:
    """Accuracy before and after over all usable rows, success over the attacked ones, cost and change over those too.

    As TextAttack counts: skipped texts (of an untargeted attack the misclassified ones) are not attacked; an attack
    that ran out of queries failed. Rows with errors count nowhere but as missing. With `semantics` also the success
    that keeps its thresholds, and what they reject.
    """
    good, missing = usable(rows)
    if good.empty:
        return all_missing(METRICS, f"no text could be attacked{first_error(rows)}", missing)
    attacked = good[good["outcome"] != "skipped"]
    won = attacked[attacked["outcome"] == "succeeded"]
    final = _final(good)
    note = _counts(good, missing)
    found = [
        _rate("clean_accuracy", int((good["predicted"] == good["label"]).sum()), len(good), missing, note),
        _rate("after_attack_accuracy", int((final == good["label"]).sum()), len(good), missing, note),
        _rate("attack_success_rate", len(won), len(attacked), missing, note, SKIPPED),
        _average("mean_queries", attacked, "queries", missing, SKIPPED, unit="queries", headline=False),
        _average("mean_queries_success", won, "queries", missing, UNBROKEN, unit="queries", headline=False),
        _average("perturbed_words", won, "changed_share", missing, UNBROKEN, unit="rate", note="of successful attacks"),
    ]
    if semantics is not None:
        found += [one for one in filtered_success(rows, semantics) if one.key != "raw_success_rate"]
    return found


def first_error(rows: pd.DataFrame) -> str:
    """`: ` and the error that most rows have; '' without any."""
    errors = rows["error"].dropna() if "error" in rows else pd.Series(dtype="str")
    return f": {errors.mode().iloc[0]}" if len(errors) else ""


def attack_values(rows: pd.DataFrame, metric: str) -> RowValues | None:
    """What each row adds to a rate; a success rate is over attacked texts."""
    ok = rows["status"] == "ok"
    attacked = (rows["outcome"] != "skipped").astype("float64").where(ok, 0).to_numpy(np.float64)
    if metric == "clean_accuracy":
        hits, below = rows["predicted"] == rows["label"], None
    elif metric == "after_attack_accuracy":
        hits, below = _final(rows) == rows["label"], None
    elif metric == "attack_success_rate":
        hits, below = rows["outcome"] == "succeeded", attacked
    else:
        return None
    return RowValues(hits.astype("float64").where(ok, np.nan).to_numpy(np.float64), below, bounds=UNIT)


def _final(rows: pd.DataFrame) -> pd.Series[Any]:
    """The class predicted at last; of skipped texts the first."""
    return rows["final_predicted"].where(rows["final_predicted"].notna(), rows["predicted"])


def measure_reductions(rows: pd.DataFrame) -> list[Metric]:
    """How far texts can be shortened while the predicted class stays: what is left, over correctly classified texts."""
    good, missing = usable(rows)
    if good.empty:
        return all_missing(REDUCTION_METRICS, f"no text could be reduced{first_error(rows)}", missing)
    reduced = good[good["outcome"] != "skipped"]
    reduced = reduced.assign(
        words_left=reduced["words"].astype("float64") - reduced["changed_words"].astype("float64"),
        share_left=1 - reduced["changed_share"].astype("float64"),
    )
    done, note = reduced[reduced["words_left"] <= 1], _counts(good, missing)
    skipped = "every text was already misclassified"
    return [
        _rate("clean_accuracy", int((good["predicted"] == good["label"]).sum()), len(good), missing, note),
        _rate("reduced_to_one_word_rate", len(done), len(reduced), missing, note, skipped),
        _average("words_left", reduced, "words_left", missing, skipped, unit="words"),
        _average("share_left", reduced, "share_left", missing, skipped, unit="rate"),
        _average("mean_queries", reduced, "queries", missing, skipped, unit="queries", headline=False),
    ]


def _better(key: str) -> Better:
    return {**METRICS, **REDUCTION_METRICS}[key]


def _rate(key: str, hits: int, of: int, missing: int, note: str, why: str = "") -> Metric:
    if of == 0:
        return missing_metric(key, why, better=_better(key), missing=missing, unit="rate")
    return share(key, hits, of, better=_better(key), missing=missing, note=note)


def _average(key: str, chosen: pd.DataFrame, column: str, missing: int, why: str, **fields: Any) -> Metric:
    if chosen.empty:
        return missing_metric(key, why, better=_better(key), missing=missing, unit=fields["unit"])
    bounds = UNIT if fields["unit"] == "rate" else POSITIVE
    values = RowValues(chosen[column].to_numpy(np.float64), bounds=bounds)
    return estimate(key, values, better=_better(key), missing=missing, **fields)


def _counts(good: pd.DataFrame, errors: int) -> str:
    """What a reader has to know of the rows besides their rates."""
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
    parts += [f"{errors} errors, their robustness is unknown"] if errors else []
    lists = sorted(good["stop_words"].unique())
    return f"{', '.join(parts)}; stop words not attacked: {' and '.join(lists)}"
