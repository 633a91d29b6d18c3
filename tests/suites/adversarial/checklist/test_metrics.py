from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

from harness.api.declared import Named
from harness.api.metrics import Better, Metric
from harness.stats.intervals import clopper_pearson
from suites.adversarial.checklist.metrics import clustered_share
from suites.adversarial.checklist.probe import Checklist, ChecklistParams
from tests.fakes import by_key

CLUSTERS = "Gaffke bound, clusters, 10000 draws"


def made(name: str, kind: str, test: str, base: str, outcome: str, **fields: Any) -> dict[str, Any]:
    failed: list[bool | None] = fields.pop("failed", [])
    row = {
        "case_id": name,
        "status": "ok",
        "error": None,
        "kind": kind,
        "capability": "Negation" if kind == "MFT" else "Robustness",
        "test": test,
        "source": "templates",
        "base": base,
        "text": f"text {name}",
        "outcome": outcome,
        "why": "no name" if outcome == "not applicable" else None,
        "versions": json.dumps([{"failed": each} for each in failed]),
        "left_out": "{}",
    }
    return {**row, **fields}


def measured(rows: Sequence[dict[str, Any]], **params: Any) -> dict[tuple[str, str], Metric]:
    return by_key(Checklist(ChecklistParams(**params)).measure(pd.DataFrame(rows)))


ROWS = [
    made("a", "MFT", "not", "A", "failed"),
    made("b", "MFT", "not", "A", "passed"),
    made("c", "MFT", "not", "B", "passed"),
    made("d", "MFT", "never", "C", "passed"),
    made("e", "INV", "names", "D", "failed", failed=[True, False, False]),
    made("f", "INV", "names", "D", "passed", failed=[False, None]),
    made("g", "INV", "names", "E", "not applicable"),
    made("h", "INV", "typo", "D", "failed", failed=[True]),
    made("i", "INV", "names", "x", "passed", failed=[False], source="examples"),
    made("j", "DIR", "praise", "F", "not applicable", failed=[None]),
    {"case_id": "k", "status": "error", "error": "INV Robustness: names: the text: non-finite logits"},
    {"case_id": "l", "status": "error", "error": "INV Robustness: typo: a changed text: non-finite logits"},
]


def test_rates_of_rows_counted_by_hand() -> None:
    metrics = measured(ROWS)
    overall = metrics["failure_rate", ""]
    assert overall.value == 3 / 8
    assert (overall.missing, overall.headline, overall.note) == (2, True, "3 of 8 cases fail, 2 more do not apply")
    # clusters A 2, B 1, C 1, D 3, x 1: (8^2) / (4 + 1 + 1 + 9 + 1) = 4
    assert (overall.n, overall.interval) == (4, CLUSTERS)
    alone = clopper_pearson(3, 8)
    assert overall.low is not None
    assert overall.high is not None
    assert overall.high - overall.low > alone.high - alone.low
    mft, inv, direction = (metrics[f"{kind}_failure_rate", ""] for kind in ("mft", "inv", "dir"))
    assert (mft.value, mft.missing, inv.value, inv.missing) == (1 / 4, 0, 2 / 4, 2)
    assert (direction.value, direction.n) == (None, 0)
    assert direction.note == "none of 1 cases applies: no name"


def test_tests_and_capabilities_are_slices() -> None:
    metrics = measured(ROWS)
    one = metrics["failure_rate", "MFT Negation: not"]
    assert (one.value, one.n, one.interval, one.headline) == (1 / 3, 3, "Clopper-Pearson", False)
    assert (one.low, one.high) == (clopper_pearson(1, 3).low, clopper_pearson(1, 3).high)
    assert one.note == "1 of 3 cases fail, 2 templates or texts"
    capability = metrics["failure_rate", "MFT Negation"]
    assert (capability.value, capability.n, capability.interval) == (1 / 4, 2, CLUSTERS)
    names = metrics["failure_rate", "INV Robustness: names"]
    assert (names.value, names.n, names.missing) == (1 / 2, 2, 1)
    assert metrics["failure_rate", "INV Robustness: names (examples)"].value == 0
    assert metrics["failure_rate", "INV Robustness"].missing == 2
    assert metrics["failure_rate", "DIR Robustness: praise"].value is None


def test_what_does_not_apply_is_neither_passed_nor_missing() -> None:
    metrics = measured(ROWS)
    idle = metrics["not_applicable", ""]
    assert (idle.value, idle.headline) == (2 / 10, False)
    assert idle.note == "2 of 10 cases; 2 x no name"
    assert metrics["not_applicable", "INV Robustness: names"].value == pytest.approx(1 / 3)
    assert ("not_applicable", "MFT Negation: not") not in metrics
    without = measured([row for row in ROWS if row.get("outcome") != "not applicable"])
    assert without["failure_rate", ""].model_dump(exclude={"note"}) == metrics["failure_rate", ""].model_dump(
        exclude={"note"}
    )


def test_versions_are_counted_besides_cases() -> None:
    metric = measured(ROWS)["version_failure_rate", "INV"]
    assert metric.value == 2 / 6
    assert metric.note == "2 of 6 changed versions fail"
    assert metric.n == 1  # clusters D 5, x 1: 36 / 26


def test_a_kind_that_was_left_out_says_why() -> None:
    why = json.dumps({"MFT": "the model has other classes"})
    rows = [{**row, "left_out": why} for row in ROWS if row.get("kind") != "MFT"]
    metrics = measured(rows)
    assert (metrics["mft_failure_rate", ""].value, metrics["mft_failure_rate", ""].note) == (
        None,
        "the model has other classes",
    )
    assert metrics["inv_failure_rate", ""].value is not None
    assert measured([row for row in ROWS if row.get("kind") != "MFT"])["mft_failure_rate", ""].note == (
        "no case of kind MFT was drawn"
    )
    assert ("mft_failure_rate", "") not in measured(rows, kinds=("INV", "DIR"))


def test_an_error_that_does_not_say_its_test_counts_for_each() -> None:
    metrics = measured([*ROWS, {"case_id": "m", "status": "error", "error": "ValueError: what"}])
    assert metrics["mft_failure_rate", ""].missing == 1
    assert metrics["failure_rate", "MFT Negation: not"].missing == 1
    assert metrics["failure_rate", "INV Robustness: names"].missing == 2


@pytest.mark.parametrize(
    ("metric", "part"),
    [
        ("failure_rate", ""),
        ("mft_failure_rate", ""),
        ("inv_failure_rate", ""),
        ("failure_rate", "MFT Negation"),
        ("failure_rate", "INV Robustness: names"),
        ("failure_rate", "INV Robustness: names (examples)"),
    ],
)
def test_row_values_add_up_to_the_metric(metric: str, part: str) -> None:
    frame = pd.DataFrame(ROWS)
    found = Checklist().row_values(frame, metric, part)
    assert found is not None
    assert found.below is not None
    above, below = np.asarray(found.above, dtype=np.float64), np.asarray(found.below, dtype=np.float64)
    assert np.isnan(above).tolist() == (frame["status"] == "error").tolist()
    assert np.nansum(above) / below.sum() == measured(ROWS)[metric, part].value
    assert (np.nan_to_num(above) <= below).all()
    clusters = np.asarray(found.clusters)
    assert clusters[0] == clusters[1] != clusters[2]


def test_other_metrics_have_no_row_values() -> None:
    frame = pd.DataFrame(ROWS)
    assert Checklist().row_values(frame, "not_applicable", "") is None
    assert Checklist().row_values(frame, "mft_failure_rate", "MFT Negation") is None


RATE = Named("rate", Better.LOWER, unit="rate")


# --- intervals --------------------------------------------------------------------------------------------------------


def test_clusters_of_one_are_a_plain_share() -> None:
    hits = np.array([1, 0, 0, 1, 0])
    metric = clustered_share(RATE, hits, np.ones(5), np.arange(5))
    assert (metric.value, metric.n, metric.interval) == (0.4, 5, "Clopper-Pearson")
    assert (metric.low, metric.high) == (clopper_pearson(2, 5).low, clopper_pearson(2, 5).high)


def test_equal_clusters_count_as_one_each() -> None:
    """As if there were one row per cluster, when all rows of a cluster agree."""
    clusters = np.repeat(np.arange(20), 7)
    metric = clustered_share(RATE, np.repeat(np.arange(20) < 4, 7), np.ones(140), clusters)
    assert (metric.value, metric.n) == (0.2, 20)
    assert (metric.low, metric.high) == pytest.approx(
        (clopper_pearson(4, 20).low, clopper_pearson(4, 20).high), abs=0.01
    )


@pytest.mark.parametrize(("a", "b"), [(0.05, 0.2), (0.4, 1.6), (2.0, 8.0)])
def test_the_interval_covers_the_truth_when_cases_of_a_template_fall_together(a: float, b: float) -> None:
    """300 samples of 40 templates with 1 to 12 cases each; at least 93 % of the intervals hold the mean 0.2."""
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(300):
        sizes = rng.integers(1, 13, 40)
        clusters = np.repeat(np.arange(40), sizes)
        hits = rng.random(len(clusters)) < rng.beta(a, b, 40)[clusters]
        metric = clustered_share(RATE, hits, np.ones(len(hits)), clusters)
        assert metric.low is not None
        assert metric.high is not None
        held += metric.low <= 0.2 <= metric.high
    assert held / 300 >= 0.93
