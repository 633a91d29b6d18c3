"""Metrics from hand-made rows, each against its formula written out."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from harness.api.metrics import Better, Metric
from suites.quality.lm_eval.probe import LmEval
from suites.quality.lm_eval.rows import key_of

ENTRY = ("names", "values", "weights", "items", "aggregations", "betters")


def row(number: int, task: str, entries: list[tuple[str, float, float, str, str]], **fields: Any) -> dict[str, Any]:
    """Entries are name, value, weight, item, aggregation."""
    columns = {name: [entry[at] for entry in entries] for at, name in enumerate(ENTRY[:5])}
    return {
        "case_id": str(number),
        "status": "ok",
        "error": None,
        "task": task,
        "document": number,
        "shots": 0,
        "version": f"{task}, lm-eval 1",
        "truncated": 0,
        **columns,
        "betters": ["higher"] * len(entries),
        "groups": [],
        "loglikelihoods": [],
        "texts": [],
        **fields,
    }


def measured(rows: list[dict[str, Any]]) -> dict[tuple[str, str], Metric]:
    return {(metric.key, metric.slice): metric for metric in LmEval().measure(pd.DataFrame(rows))}


def error(number: int) -> dict[str, Any]:
    return {**dict.fromkeys(row(0, "t", [])), "case_id": str(number), "status": "error", "error": "why"}


def test_a_share_has_clopper_and_pearsons_interval_and_counts_what_is_missing() -> None:
    rows = [row(at, "t", [("acc", float(at < 7), 1.0, "", "mean")]) for at in range(10)]
    metric = measured([*rows, error(10)])["acc", ""]
    assert (metric.value, metric.n, metric.missing, metric.interval) == (0.7, 10, 1, "Clopper-Pearson")


def test_perplexities_are_exp_of_nats_per_unit() -> None:
    nats, words = [3.0, 8.0, 1.0], [2.0, 5.0, 3.0]
    entries = [("word_perplexity", nat, n, "", "weighted_perplexity") for nat, n in zip(nats, words, strict=True)]
    rows = [
        row(
            at,
            "t",
            [entry, ("bits_per_byte", *entry[1:4], "bits_per_byte"), ("perplexity", nats[at], 1.0, "", "perplexity")],
        )
        for at, entry in enumerate(entries)
    ]
    found = measured(rows)
    assert found["word_perplexity", ""].value == pytest.approx(math.exp(12 / 10))
    assert found["bits_per_byte", ""].value == pytest.approx(12 / 10 / math.log(2))
    assert found["perplexity", ""].value == pytest.approx(math.exp(12 / 3))


def test_a_group_of_tasks_that_count_alike_has_an_interval_that_covers_it() -> None:
    """Two tasks with known rates: the interval of the mean of rates covers it in 95 of 100 draws and more."""
    rng, truth, covered = np.random.default_rng(0), (0.9 + 0.3) / 2, 0
    for _ in range(100):
        rows: list[dict[str, Any]] = []
        for task, rate, n in (("a", 0.9, 60), ("b", 0.3, 12)):
            hits = rng.random(n) < rate
            groups = [["g", "acc", "tasks"]]
            rows += [
                row(len(rows) + at, task, [("acc", float(hit), 1.0, "", "mean")], groups=groups)
                for at, hit in enumerate(hits)
            ]
        metric = measured(rows)["acc", ""]
        frame = pd.DataFrame(rows)
        by_task = frame["values"].map(lambda cell: cell[0]).groupby(frame["task"]).mean()
        assert metric.value == pytest.approx(by_task.mean())
        assert metric.low is not None
        assert metric.high is not None
        covered += metric.low <= truth <= metric.high
    assert covered >= 93


def test_a_group_of_perplexities_has_no_mean_and_says_so() -> None:
    groups = [["g", "perplexity", "documents"]]
    rows = [row(at, "ab"[at % 2], [("perplexity", 1.0, 1.0, "", "perplexity")], groups=groups) for at in range(4)]
    metric = measured(rows)["perplexity", ""]
    assert metric.value is None
    assert "no mean over documents" in metric.note


def test_f1_is_that_of_class_one_with_the_interval_of_its_share() -> None:
    pytest.importorskip("lm_eval")
    pairs = [(1, 1)] * 6 + [(1, 0)] * 2 + [(0, 1)] * 1 + [(0, 0)] * 5
    rows = [row(at, "t", [("f1", math.nan, 1.0, json.dumps(pair), "f1")]) for at, pair in enumerate(pairs)]
    metric = measured(rows)["f1", ""]
    assert metric.value == pytest.approx(2 * 6 / (2 * 6 + 2 + 1))
    assert metric.low is not None
    assert metric.high is not None
    assert metric.low < 12 / 15 < metric.high


def test_f1_without_any_positive_has_a_value_and_the_widest_interval() -> None:
    pytest.importorskip("lm_eval")
    rows = [row(at, "t", [("f1", math.nan, 1.0, "[0, 0]", "f1")]) for at in range(5)]
    metric = measured(rows)["f1", ""]
    assert (metric.low, metric.high) == (0.0, 1.0)


def test_an_accuracy_beyond_one_is_none() -> None:
    metric = measured([row(at, "t", [("acc", 50.0, 1.0, "", "mean")]) for at in range(3)])["acc", ""]
    assert metric.value is None
    assert "lies between 0 and 1" in metric.note


def test_a_number_that_is_none_is_missing() -> None:
    numbers = [1.0, math.nan, 0.0, 1.0]
    rows = [row(at, "t", [("acc", number, 1.0, "", "nanmean")]) for at, number in enumerate(numbers)]
    metric = measured(rows)["acc", ""]
    assert (metric.value, metric.n, metric.missing) == (2 / 3, 3, 1)


def test_an_aggregation_of_the_tasks_own_is_missing_and_says_so() -> None:
    metric = measured([row(0, "t", [("bias", math.nan, 1.0, "[1, 2]", "[agg_bias]")])])["bias", ""]
    assert metric.value is None
    assert "[agg_bias]; not supported" in metric.note


def test_a_metric_of_the_tasks_own_is_measured_with_its_direction() -> None:
    rows = [row(at, "t", [("score", float(at), 1.0, "", "mean")], betters=["lower"]) for at in range(200)]
    metric = measured(rows)["score", ""]
    assert metric.value == pytest.approx(99.5)
    assert metric.better is Better.LOWER
    assert metric.low is not None


def test_names_have_only_letters_that_a_store_takes() -> None:
    assert key_of("pass@1", "none") == "pass_1"
    assert key_of("exact_match", "strict-match") == "exact_match.strict-match"


def of_group(tasks: str, weighing: str, asked: int) -> list[dict[str, Any]]:
    """A document of each task named by a letter, half of them right, in a group of so many tasks."""
    fields = {"groups": [["g", "acc", weighing, str(asked)]], "tasks": asked}
    return [row(at, task, [("acc", float(at % 2), 1.0, "", "mean")], **fields) for at, task in enumerate(tasks)]


@pytest.mark.parametrize("weighing", ["tasks", "documents"])
def test_a_group_with_a_failed_task_has_no_value_and_says_so(weighing: str) -> None:
    found = measured([*of_group("aabb", weighing, 3), error(9)])
    assert found["acc", ""].value is None
    assert "1 of the 3 tasks of g have no document that was measured" in found["acc", ""].note
    assert found["acc", ""].missing == 1
    assert (found["acc", "a"].value, found["acc", "b"].value) == (0.5, 0.5)


def test_a_group_with_a_failed_document_of_each_task_has_a_value_and_counts_what_is_missing() -> None:
    metric = measured([*of_group("aabb", "tasks", 2), error(9)])["acc", ""]
    assert (metric.value, metric.n, metric.missing) == (0.5, 4, 1)


def test_documents_drawn_from_a_group_need_not_be_of_every_task_where_documents_count_alike() -> None:
    """A fair draw of all documents; where tasks count alike, one without a document leaves no mean over tasks."""
    assert measured(of_group("aabb", "documents", 3))["acc", ""].value == 0.5
    assert measured(of_group("aabb", "tasks", 3))["acc", ""].value is None


def test_the_one_task_left_of_several_is_not_all_of_them() -> None:
    rows = [row(at, "a", [("acc", 1.0, 1.0, "", "mean")], tasks=2) for at in range(3)]
    found = measured([*rows, error(9)])
    assert set(found) == {("acc", "a")}
    assert "1 documents of these tasks failed" in found["acc", "a"].note


def test_rows_of_older_versions_have_their_group_still() -> None:
    rows = of_group("ab", "tasks", 3)
    for each in rows:
        del each["tasks"]
        each["groups"] = [["g", "acc", "tasks"]]
    assert measured([*rows, error(9)])["acc", ""].value == 0.5
