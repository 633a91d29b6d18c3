"""Matthews' correlation against scikit-learn, and its interval against draws from a known table."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import matthews_corrcoef

from suites.quality.classification.correlation import matthews


@pytest.mark.parametrize("classes", [2, 3, 8, 50])
def test_it_is_that_of_scikit_learn(classes: int) -> None:
    rng = np.random.default_rng(classes)
    label = rng.integers(0, classes, 300)
    predicted = np.where(rng.random(300) < 0.6, label, rng.integers(0, classes, 300))
    found = matthews(label, predicted, classes)
    assert found is not None
    assert found[0] == pytest.approx(matthews_corrcoef(label, predicted), abs=1e-12)
    assert found[1].low < found[0] < found[1].high


def test_one_class_alone_has_no_correlation() -> None:
    label = np.array([0, 1, 0])
    assert matthews(label, np.zeros(3, dtype=np.int64), 2) is None
    assert matthews(np.zeros(3, dtype=np.int64), label, 2) is None


def test_without_an_error_the_interval_is_not_a_point() -> None:
    label = np.arange(40) % 2
    found = matthews(label, label, 2)
    assert found is not None
    value, interval = found
    assert (value, interval.high) == (1.0, 1.0)
    assert 0.7 < interval.low < 0.95


@pytest.mark.parametrize("cells", [[[0.45, 0.05], [0.1, 0.4]], [[0.9, 0.02], [0.04, 0.04]]])
def test_its_interval_holds_the_true_value_about_as_often_as_it_says(cells: list[list[float]]) -> None:
    table = np.array(cells)
    t, p = table.sum(axis=1), table.sum(axis=0)
    truth = (np.trace(table) - (t * p).sum()) / np.sqrt((1 - (t**2).sum()) * (1 - (p**2).sum()))
    rng = np.random.default_rng(0)
    hits = tries = 0
    for _ in range(150):
        label, predicted = np.divmod(rng.choice(4, 150, p=table.ravel()), 2)
        found = matthews(label, predicted, 2)
        if found is not None:
            hits, tries = hits + (found[1].low <= truth <= found[1].high), tries + 1
    assert tries > 140
    assert hits / tries >= 0.91
