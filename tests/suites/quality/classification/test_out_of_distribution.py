from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from harness.api.lists import as_list
from harness.api.needs import Need
from harness.api.scorer import TextRequest
from harness.errors import DataError
from suites.quality.classification import OutOfDistribution
from tests.fakes import FakeScorer, by_key, make_info, plan, rows_of

INFO = make_info(Need.SEQUENCE_CLASSIFIER)


def classify(request: TextRequest) -> Sequence[float]:
    """Unnormalised: the fake takes their logarithm for the logits, so that energy is not constant."""
    kind, number = request.text.split()
    p = np.random.default_rng(int(number)).uniform(0.5, 1) if kind == "in" else 0.5 + int(number) / 200
    return (p * (2 if kind == "in" else 1), (1 - p) * (2 if kind == "in" else 1))


def texts(kind: str, n: int) -> pd.DataFrame:
    return pd.DataFrame({"text": [f"{kind} {at}" for at in range(n)]})


def test_both_areas_are_those_of_scikit_learn_over_the_rows(tmp_path: Path) -> None:
    probe = OutOfDistribution()
    cases = probe.cases(plan(INFO, inside=texts("in", 60), outside=texts("out", 40)))
    rows = rows_of(probe, FakeScorer(INFO, classify=classify), cases, tmp_path)
    found = by_key(probe.measure(rows))
    inside = rows["kind"] == "inside"
    logits = np.array([as_list(cell) for cell in rows["logits"]])
    softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert found["auroc_softmax", ""].value == pytest.approx(roc_auc_score(inside, softmax.max(axis=1)))
    assert found["auroc_energy", ""].value == roc_auc_score(inside, np.log(np.exp(logits).sum(axis=1))) == 1.0
    assert (found["auroc_energy", ""].low or 1) < 1
    assert found["auroc_softmax", ""].n == 100


def test_without_an_answer_outside_there_is_no_area(tmp_path: Path) -> None:
    probe = OutOfDistribution()
    outside = pd.DataFrame({"text": ["broken 1"]})
    cases = probe.cases(plan(INFO, inside=texts("in", 3), outside=outside))
    rows = rows_of(probe, FakeScorer(INFO, classify=classify), cases, tmp_path)
    metric = by_key(probe.measure(rows))["auroc_energy", ""]
    assert (metric.value, metric.missing, metric.note) == (None, 1, "no text outside was answered")


def test_data_that_are_the_same_are_refused() -> None:
    with pytest.raises(DataError, match=r"3 texts are in both test.csv and test.csv; give `outside` texts of another"):
        OutOfDistribution().cases(plan(INFO, inside=texts("in", 3), outside=texts("in", 5)))
