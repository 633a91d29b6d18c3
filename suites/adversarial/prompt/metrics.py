"""What the rows of attacks on prompts add up to."""

from __future__ import annotations

import math
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
    "logprob_drop": Better.LOWER,
    "mean_queries": Better.NEITHER,
    "mean_queries_success": Better.NEITHER,
    "perturbed_words": Better.NEITHER,
}
SHARES = frozenset({"clean_accuracy", "after_attack_accuracy", "attack_success_rate"})
VALUE_COLUMNS = ("matched", "final_matched", "outcome", "logprob", "perturbed_logprob")
SKIPPED, UNBROKEN = "no prompt had its answer to begin with", "no attack succeeded"


def measure_prompts(rows: pd.DataFrame, semantics: SemanticsParams | None = None) -> list[Metric]:
    """Accuracy of greedy answers before and after over all usable rows; success, drop and cost over the attacked ones.

    The drop is paired: each prompt's mean log-probability per answer token, less that of the last prompt found for it,
    be the attack a success or not. Rows with errors count nowhere but as missing. With `semantics` also the success
    that keeps its thresholds, and what they reject.
    """
    good, missing = usable(rows)
    if good.empty:
        return all_missing(METRICS, "no prompt could be attacked", missing)
    attacked = good[good["outcome"] != "skipped"]
    won = attacked[attacked["outcome"] == "succeeded"]
    note = _counts(good, missing)
    average = _Average(missing)
    found = [
        _rate("clean_accuracy", int(good["matched"].astype(bool).sum()), len(good), missing, note),
        _rate("after_attack_accuracy", int(_final(good).sum()), len(good), missing, note),
        _rate("attack_success_rate", len(won), len(attacked), missing, note),
        average("logprob_drop", _drops(attacked), SKIPPED, "nats", "per answer token, over attacked prompts"),
        average("mean_queries", attacked["queries"], SKIPPED, "queries"),
        average("mean_queries_success", won["queries"], UNBROKEN, "queries"),
        average("perturbed_words", won["changed_share"], UNBROKEN, "rate", "of successful attacks"),
    ]
    if semantics is not None:
        found += [one for one in filtered_success(rows, semantics) if one.key != "raw_success_rate"]
    return found


def prompt_values(rows: pd.DataFrame, metric: str) -> RowValues | None:
    """What each row adds to a rate or the drop; success and drop are over attacked prompts."""
    ok = rows["status"] == "ok"
    attacked = ok & (rows["outcome"] != "skipped")
    if metric == "clean_accuracy":
        above, below = rows["matched"].where(ok, False).astype(bool).astype("float64"), None
    elif metric == "after_attack_accuracy":
        above, below = _final(rows.where(ok)).astype("float64"), None
    elif metric == "attack_success_rate":
        above, below = (rows["outcome"] == "succeeded").astype("float64"), attacked
    elif metric == "logprob_drop":
        above, below = _drops(rows).where(attacked, 0.0), attacked
    else:
        return None
    weights = None if below is None else below.to_numpy(np.float64)
    bounds = (-math.inf, math.inf) if metric == "logprob_drop" else UNIT
    return RowValues(above.where(ok, np.nan).to_numpy(np.float64), weights, bounds=bounds)


def _final(rows: pd.DataFrame) -> pd.Series[Any]:
    """Whether the answer is given at last; of skipped prompts at first."""
    last = rows["final_matched"].where(rows["final_matched"].notna(), rows["matched"])
    return last.where(last.notna(), False).astype(bool)


def _drops(rows: pd.DataFrame) -> pd.Series[Any]:
    return rows["logprob"].astype("float64") - rows["perturbed_logprob"].astype("float64")


class _Average:
    """Means with their intervals; `missing` rows have errors."""

    def __init__(self, missing: int) -> None:
        self._missing = missing

    def __call__(self, key: str, values: pd.Series[Any], why: str, unit: str, note: str = "") -> Metric:
        """The mean of a column, or why there is none."""
        better = METRICS[key]
        if values.empty:
            return missing_metric(key, why, better=better, missing=self._missing, unit=unit)
        bounds = {"rate": UNIT, "queries": POSITIVE}.get(unit, (-math.inf, math.inf))
        numbers = RowValues(values.to_numpy(np.float64), bounds=bounds)
        fields: dict[str, Any] = {"missing": self._missing, "unit": unit, "note": note, "headline": unit != "queries"}
        return estimate(key, numbers, better=better, **fields)


def _rate(key: str, hits: int, of: int, missing: int, note: str) -> Metric:
    if of == 0:
        return missing_metric(key, SKIPPED, better=METRICS[key], missing=missing, unit="rate")
    return share(key, hits, of, better=METRICS[key], missing=missing, note=note)


def _counts(good: pd.DataFrame, errors: int) -> str:
    """What a reader has to know of the rows besides their rates."""
    outcomes = good["outcome"].value_counts()
    parts = [f"{outcomes.get(name, 0)} {name}" for name in ("succeeded", "failed", "skipped")]
    exhausted = int(good["budget_exhausted"].astype(bool).sum())
    parts += [f"{exhausted} failed at the query budget, more queries may succeed"] if exhausted else []
    parts += [f"{errors} errors, their robustness is unknown"] if errors else []
    lists = sorted(good["stop_words"].unique())
    return f"{', '.join(parts)}; stop words not attacked: {' and '.join(lists)}"
