"""The temperature against the one that made the labels, a grid, and its own split."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from harness.api.case import make_cases
from harness.api.estimates import estimate
from harness.api.metrics import Better
from suites.quality.classification.temperature import fit_temperature, fitting_half, log_probabilities, rescaled


def drawn(n: int, classes: int, temperature: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and labels that follow their softmax at a temperature."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, (n, classes))
    chances = softmax(logits / temperature, axis=1)
    return logits, (chances.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)


@pytest.mark.parametrize(("classes", "temperature"), [(2, 2.5), (5, 0.6)])
def test_the_temperature_that_made_the_labels_is_found_within_its_interval(classes: int, temperature: float) -> None:
    logits, label = drawn(3000, classes, temperature)
    found = fit_temperature(logits, label)
    assert found is not None
    metric = estimate("t", found.values, better=Better.TARGET)
    assert metric.value == pytest.approx(found.temperature, rel=1e-5)
    assert metric.low is not None
    assert metric.high is not None
    assert metric.low < temperature < metric.high
    assert metric.high / metric.low < 1.35


def test_no_temperature_of_a_grid_is_likelier() -> None:
    logits, label = drawn(200, 3, 1.7, seed=1)
    found = fit_temperature(logits, label)
    assert found is not None

    def nll(temperature: float) -> float:
        return float(-log_softmax(logits / temperature, axis=1)[np.arange(200), label].mean())

    assert nll(found.temperature) <= min(map(nll, np.geomspace(0.05, 40, 2001))) + 1e-9


def test_the_interval_holds_the_true_temperature_about_as_often_as_it_says() -> None:
    hits = 0
    for seed in range(120):
        logits, label = drawn(300, 2, 2.0, seed)
        found = fit_temperature(logits, label)
        assert found is not None
        metric = estimate("t", found.values, better=Better.TARGET)
        hits += (metric.low or 0) <= 2.0 <= (metric.high or np.inf)
    assert hits >= 108  # 95 % of 120 are 114; fewer than 108 come by chance once in 250


def test_where_all_are_right_there_is_no_best_temperature() -> None:
    logits = np.array([[3.0, 0.0], [0.0, 2.0]] * 30)
    assert fit_temperature(logits, np.array([0, 1] * 30)) is None


def test_probabilities_say_as_much_as_logits() -> None:
    logits, _ = drawn(20, 4, 1.0)
    again = log_probabilities(softmax(logits, axis=1))
    assert rescaled(again, 2.0) == pytest.approx(log_softmax(logits / 2, axis=1))
    assert np.isfinite(log_probabilities(np.array([[1.0, 0.0]]))).all()


def test_the_split_hangs_on_the_id_alone_and_keeps_repeats_together() -> None:
    cases = make_cases([*({"text": str(at)} for at in range(400)), *({"text": str(at)} for at in range(400))])
    ids = [case.id for case in cases]
    half = fitting_half(ids)
    assert half[:400].tolist() == half[400:].tolist()
    assert fitting_half(ids[::-1])[::-1].tolist() == half.tolist()
    assert 150 < half[:400].sum() < 250
