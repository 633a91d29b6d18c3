from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from harness.api.metrics import Metric
from suites.adversarial.prompt.probe import Prompt, PromptParams, PromptRow
from tests.fakes import by_key


def row(outcome: str, number: int, **columns: Any) -> dict[str, Any]:
    """A row of this outcome; a skipped prompt was not matched, a success loses its match."""
    found: dict[str, Any] = {
        "case_id": str(number),
        "status": "ok",
        "outcome": outcome,
        "queries": 10 + number,
        "budget_exhausted": False,
        "matched": outcome != "skipped",
        "logprob": -0.5 - 0.01 * number,
        "stop_words": "a list",
    }
    if outcome != "skipped":
        found |= {
            "final_matched": outcome == "failed",
            "perturbed_logprob": -1.0 - 0.1 * number,
            "changed_share": 0.25,
        }
    return {**found, **columns}


def frame(*rows: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(PromptRow.to_schema().columns))


def error(number: int) -> dict[str, Any]:
    return {"case_id": str(number), "status": "error", "error": "broke"}


ROWS = frame(
    *(row("succeeded", number) for number in range(5)),
    *(row("failed", number) for number in range(5, 12)),
    row("failed", 12, budget_exhausted=True),
    *(row("skipped", number) for number in range(13, 20)),
    error(20),
)


def measured(rows: pd.DataFrame, **params: Any) -> dict[str, Metric]:
    return {key: one for (key, _), one in by_key(Prompt(PromptParams(**params)).measure(rows)).items()}


def test_rates_have_exact_intervals() -> None:
    found = measured(ROWS, semantics=None)
    expected = {"clean_accuracy": (13, 20), "after_attack_accuracy": (8, 20), "attack_success_rate": (5, 13)}
    assert set(expected) == {key for key, each in Prompt().named().items() if each.is_share}
    for key, (hits, n) in expected.items():
        metric, interval = found[key], binomtest(hits, n).proportion_ci(method="exact")
        assert (metric.value, metric.n, metric.missing) == (hits / n, n, 1)
        assert (metric.low, metric.high) == pytest.approx((interval.low, interval.high))
        assert metric.note == (
            "5 succeeded, 8 failed, 7 skipped, 1 failed at the query budget, more queries may succeed, "
            "1 errors, their robustness is unknown; stop words not attacked: a list"
        )


def test_the_drop_is_paired_and_over_attacked_prompts() -> None:
    metric = measured(ROWS, semantics=None)["logprob_drop"]
    drops = [1.0 + 0.1 * number - 0.5 - 0.01 * number for number in range(13)]
    assert metric.value == pytest.approx(np.mean(drops))
    assert (metric.n, metric.unit, metric.missing) == (13, "nats", 1)
    assert (metric.low, metric.high) == (None, None)  # nats have no bounds: 13 prompts cannot show a rare large drop
    assert "no interval: 13 independent observations are too few" in metric.note


def test_cost_and_change() -> None:
    found = measured(ROWS, semantics=None)
    assert found["mean_queries"].value == pytest.approx(10 + 6)
    assert found["mean_queries_success"].value == pytest.approx(10 + 2)
    assert found["perturbed_words"].value == pytest.approx(0.25)


def test_what_nothing_tells_of_is_missing_and_says_why() -> None:
    found = measured(frame(*(row("skipped", number) for number in range(3)), error(3)), semantics=None)
    assert found["clean_accuracy"].value == found["after_attack_accuracy"].value == 0
    for key in ("attack_success_rate", "logprob_drop", "mean_queries"):
        assert (found[key].value, found[key].note) == (None, "no prompt had its answer to begin with")
    found = measured(frame(row("failed", 0)), semantics=None)
    assert (found["mean_queries_success"].value, found["mean_queries_success"].note) == (None, "no attack succeeded")
    found = measured(frame(error(0), error(1)))
    assert {one.value for one in found.values()} == {None}
    assert {one.missing for one in found.values()} == {2}


def test_filtered_success_is_measured_with_semantics() -> None:
    rows = ROWS.assign(similarity=[0.99, 0.99, 0.5, 0.5, 0.5, *[0.99] * 16])
    found = measured(rows)
    assert "raw_success_rate" not in found
    assert found["filtered_success_rate"].value == pytest.approx(2 / 13)
    assert found["rejected_by_similarity"].value == pytest.approx(3 / 5)


@pytest.mark.parametrize(
    "metric",
    [
        *("clean_accuracy", "after_attack_accuracy", "attack_success_rate", "logprob_drop"),
        *("mean_queries", "mean_queries_success", "perturbed_words"),
    ],
)
def test_what_rows_add_sums_to_the_metric(metric: str) -> None:
    values = Prompt().row_values(ROWS[[*Prompt().value_columns([metric])]], metric, "")
    assert values is not None
    above = np.asarray(values.above)
    usable = ~np.isnan(above)
    assert usable.tolist() == [True] * 20 + [False]
    below = np.ones(21) if values.below is None else np.asarray(values.below)
    assert above[usable].sum() / below[usable].sum() == pytest.approx(measured(ROWS, semantics=None)[metric].value)


def test_other_metrics_are_no_sums() -> None:
    assert Prompt().row_values(ROWS, "filtered_success_rate", "") is None
    assert Prompt().row_values(ROWS, "clean_accuracy", "part") is None
