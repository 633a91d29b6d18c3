from __future__ import annotations

import numpy as np
import pytest

from harness.api.scorer import ClassScores
from suites.adversarial.checklist.expect import (
    Expectation,
    Tolerances,
    fails_alone,
    fails_changed,
    read_expectation,
    wrong_way,
)

LABELS = ("negative", "neutral", "positive")


def answer(*probabilities: float) -> ClassScores:
    return ClassScores(np.log(np.array(probabilities)))


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("MFT", "positive", Expectation("is", "positive", 2)),
        ("MFT", "pos", Expectation("is", "pos", 2)),
        ("MFT", "not negative", Expectation("is not", "negative", 0)),
        ("DIR", "positive up", Expectation("up", "positive", 2)),
        ("DIR", "negative down", Expectation("down", "negative", 0)),
        ("INV", "", Expectation("same")),
        ("MFT", "happy", None),
        ("DIR", "positive", None),
        ("DIR", "happy up", None),
        ("MFT", "", None),
    ],
)
def test_what_a_test_expects(kind: str, text: str, expected: Expectation | None) -> None:
    assert read_expectation(kind, text, LABELS, {}) == expected


def test_classes_of_another_name() -> None:
    names = {"positive": "LABEL_1"}
    assert read_expectation("DIR", "positive up", ("LABEL_0", "LABEL_1"), names) == Expectation("up", "positive", 1)
    assert read_expectation("MFT", "not spam", ("not spam", "spam"), {}) == Expectation("is", "not spam", 0)


def test_a_text_alone() -> None:
    positive, negative = answer(0.1, 0.2, 0.7), answer(0.6, 0.2, 0.2)
    is_positive, not_negative = Expectation("is", "positive", 2), Expectation("is not", "negative", 0)
    assert [fails_alone(is_positive, each) for each in (positive, negative)] == [False, True]
    assert [fails_alone(not_negative, each) for each in (positive, negative)] == [False, True]
    assert not fails_alone(not_negative, answer(0.1, 0.8, 0.1))


def checklist_monotonic(before: float, after: float, increasing: bool, tolerance: float) -> bool | None:
    """Whether CheckList's Expect.monotonic is met, in its own terms; None where it cannot fail."""
    if increasing and before <= tolerance:
        return None
    if not increasing and before >= 1 - tolerance:
        return None
    change = after - before
    return change + tolerance >= 0 if increasing else change - tolerance <= 0


@pytest.mark.parametrize("increasing", [True, False])
@pytest.mark.parametrize("tolerance", [0.0, 0.1, 0.25])
def test_directions_are_decided_as_checklist_does(increasing: bool, tolerance: float) -> None:
    rng = np.random.default_rng(0)
    expected = Expectation("up" if increasing else "down", "positive", 1)
    seen = set()
    for before, after in rng.uniform(0.001, 0.999, (300, 2)):
        met = checklist_monotonic(before, after, increasing, tolerance)
        found = fails_changed(expected, answer(1 - before, before), answer(1 - after, after), Tolerances(tolerance, 0))
        assert found == (None if met is None else not met)
        seen.add(found)
    assert {True, False} <= seen
    assert (None in seen) == (tolerance > 0)


@pytest.mark.parametrize(
    ("before", "after", "flip", "fails"),
    [
        ((0.4, 0.6), (0.1, 0.9), 0, False),
        ((0.4, 0.6), (0.45, 0.55), 0, False),
        ((0.48, 0.52), (0.53, 0.47), 0, True),
        ((0.48, 0.52), (0.53, 0.47), 0.1, False),
        ((0.4, 0.6), (0.6, 0.4), 0.1, True),
    ],
)
def test_a_change_of_class_fails_unless_it_is_forgiven(
    before: tuple[float, ...], after: tuple[float, ...], flip: float, fails: bool
) -> None:
    assert fails_changed(Expectation("same"), answer(*before), answer(*after), Tolerances(0.1, flip)) is fails


def test_the_wrong_way() -> None:
    before, after = answer(0.3, 0.7), answer(0.4, 0.6)
    assert wrong_way(Expectation("same"), before, after) == pytest.approx(0.1)
    assert wrong_way(Expectation("up", "positive", 1), before, after) == pytest.approx(0.1)
    assert wrong_way(Expectation("down", "positive", 1), before, after) == pytest.approx(-0.1)
