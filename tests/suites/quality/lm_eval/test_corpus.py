"""Intervals of metrics of whole sets: against the formula of the peer's library, and against known truths."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from harness.api.metrics import Metric
from suites.quality.lm_eval.corpus import interval_of
from tests.suites.quality.lm_eval.test_metrics import measured, row

pytest.importorskip("lm_eval")
from lm_eval.api.registry import get_aggregation

WORDS = ("the", "cat", "sat", "on", "a", "mat", "and", "looked", "out", "of", "it")
CORPUS = ("bleu", "chrf", "chrf++", "ter")


def sentences(rng: np.random.Generator, n: int, right: float) -> list[tuple[Any, str]]:
    """References, two to a document, and texts that have each word of the first with this chance."""
    found = []
    for _ in range(n):
        gold = rng.integers(0, len(WORDS), rng.integers(5, 12))
        text = np.where(rng.random(len(gold)) < right, gold, rng.integers(0, len(WORDS), len(gold)))
        first, other = (" ".join(WORDS[at] for at in each) for each in (gold, rng.permutation(gold)))
        found.append(([first, other], " ".join(WORDS[at] for at in text)))
    return found


def metric_of(how: str, items: list[Any]) -> Metric:
    rows = [row(at, "t", [("score", math.nan, 1.0, json.dumps(item), how)]) for at, item in enumerate(items)]
    return measured(rows)["score", ""]


@pytest.mark.parametrize("how", CORPUS)
def test_every_metric_of_sacrebleu_has_lm_evals_value_and_an_interval_with_its_method(how: str) -> None:
    items = sentences(np.random.default_rng(1), 200, 0.6)
    metric = metric_of(how, items)
    assert metric.value == pytest.approx(get_aggregation(how)(items))
    assert metric.low is not None
    assert metric.high is not None
    assert metric.value is not None
    assert metric.low < metric.value < metric.high
    assert (metric.n, metric.level) == (200, 0.95)
    assert str(metric.interval).startswith("Dirichlet bootstrap")
    assert "no interval" not in metric.note


@pytest.mark.parametrize("how", CORPUS)
def test_the_interval_is_near_that_of_drawing_documents_and_asking_sacrebleu_again(how: str) -> None:
    """An independent way: the peer's own function of many draws of documents with replacement."""
    rng = np.random.default_rng(2)
    items = sentences(rng, 190, 0.7)
    aggregate = get_aggregation(how)
    metric = metric_of(how, items)
    drawn = [
        aggregate([items[at] for at in rng.integers(0, len(items), len(items))])
        for _ in range(80 if how == "ter" else 300)
    ]
    low, high = np.quantile(drawn, (0.025, 0.975))
    assert metric.low is not None
    assert metric.high is not None
    width = high - low
    assert metric.low < low + 0.2 * width
    assert metric.high > high - 0.2 * width
    assert metric.high - metric.low < 1.5 * width  # a document more at each end costs that much at this size


def test_bleu_of_many_documents_lies_in_the_interval_of_few() -> None:
    """The truth is BLEU of 4,000 documents; of 100 audits of 40 documents each, 5 may err."""
    rng = np.random.default_rng(3)
    everything = sentences(rng, 4000, 0.8)
    truth = get_aggregation("bleu")(everything)
    covered = 0
    for _ in range(60):
        items = [everything[at] for at in rng.integers(0, len(everything), 40)]
        value = float(get_aggregation("bleu")(items))
        interval = interval_of("bleu", items, value)
        assert interval is not None
        covered += interval.low <= truth <= interval.high
    assert covered >= 55


@pytest.mark.parametrize("how", ["bleu", "chrf"])
def test_texts_that_share_nothing_do_not_bound_the_score_to_zero(how: str) -> None:
    """Also where all texts are too short for BLEU's runs of four words: the references are not."""
    metric = metric_of(how, [("a b c d e f", "q")] * 30)
    assert (metric.value, metric.low) == (0.0, 0.0)
    assert metric.high is not None
    assert 3 < metric.high < 20


@pytest.mark.parametrize(("how", "item"), [("bleu", ("the cat", "the cat")), ("chrf", ("", "a b c d"))])
def test_documents_that_could_have_no_other_score_bound_nothing(how: str, item: Any) -> None:
    metric = metric_of(how, [item] * 30)
    assert (metric.value, metric.low, metric.high) == (0.0, None, None)
    assert f"no interval: these documents do not bound {how}" in metric.note


def test_few_documents_do_not_bound_ter_above_and_the_note_says_so() -> None:
    metric = metric_of("ter", sentences(np.random.default_rng(4), 40, 0.5))
    assert metric.low is not None
    assert metric.high is None
    assert "no upper end: too few documents" in metric.note


def test_documents_with_unlike_numbers_of_references_have_lm_evals_value() -> None:
    """lm-eval reads as many references of each as the one with the fewest has."""
    items: list[Any] = [(["the cat sat on a mat"], "the cat sat on it"), (["a mat", "x"], "a mat")] * 6
    metric = metric_of("bleu", items)
    assert metric.value == pytest.approx(get_aggregation("bleu")(items))
    assert metric.low is not None


def test_matthews_correlation_has_the_interval_of_classification() -> None:
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 2, 120)
    items = [(int(label), int(label if rng.random() < 0.8 else 1 - label)) for label in labels]
    metric = metric_of("matthews_corrcoef", items)
    right = np.mean([label == predicted for label, predicted in items])
    assert metric.value == pytest.approx(get_aggregation("matthews_corrcoef")(items))
    assert metric.low is not None
    assert metric.high is not None
    assert metric.low < 2 * right - 1 < metric.high  # of two even classes it is near 2 accuracy - 1
    alone = metric_of("matthews_corrcoef", [(1, 1), (0, 1)] * 9)
    assert (alone.value, alone.low) == (0.0, None)
    assert "no interval: these documents do not bound matthews_corrcoef" in alone.note


def test_a_median_has_an_interval_of_order_statistics() -> None:
    metric = metric_of("median", [float(at) for at in range(21)])
    assert (metric.value, metric.low, metric.high, metric.interval) == (10.0, 5.0, 15.0, "order statistics, exact")
    few = metric_of("median", [1.0, 2.0])
    assert (few.low, few.high) == (None, None)
