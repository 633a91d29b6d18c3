"""Bins and curves against those that the suite's metrics are made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dashboards.kinds import Column, Declaration
from dashboards.kinds.calibration import Answers, answers, confidence_sql, reliability, risk_curves
from harness.stats.confidence import BINS, equal_mass, risk_coverage
from harness.stats.intervals import clopper_pearson
from suites.quality.classification.calibration import calibration_error
from suites.quality.classification.selective import aurc_terms
from tests.dashboards.kinds.shown import audit_with, shown

RNG = np.random.default_rng(1)
PROBABILITIES = RNG.dirichlet((2, 1, 1), size=300)
LABEL = RNG.integers(0, 3, size=300)
PREDICTED = PROBABILITIES.argmax(axis=1)


def read(tmp_path: Path) -> Answers:
    """Of rows like those of quality/classification, one of which failed."""
    rows = {
        "probabilities": [*PROBABILITIES.tolist(), None],
        "label": [*LABEL.tolist(), 1],
        "predicted": [*PREDICTED.tolist(), None],
        "status": ["ok"] * 300 + ["error"],
    }
    view = shown(audit_with(tmp_path, "third/class", rows), "third/class")
    sql = confidence_sql(view.declared)
    assert sql is not None
    return answers(view.rows, sql)


def test_confidence_and_right_are_those_of_the_rows(tmp_path: Path) -> None:
    found = read(tmp_path)
    assert np.sort(found.confidence) == pytest.approx(np.sort(PROBABILITIES.max(axis=1)))
    assert found.right.sum() == (LABEL == PREDICTED).sum()


def test_bins_sum_to_the_plug_in_error_of_the_suite(tmp_path: Path) -> None:
    found = read(tmp_path)
    bins = reliability(found)
    gap = (bins["n"] * (bins["share"] - bins["confidence"]).abs()).sum() / bins["n"].sum()
    assert gap == pytest.approx(calibration_error(found.confidence, found.right, equal_mass).plug_in)
    assert len(bins) == BINS
    assert bins["n"].tolist() == [20] * BINS
    first = bins.iloc[0]
    ends = clopper_pearson(round(first["share"] * 20), 20)
    assert (first["low"], first["high"]) == (ends.low, ends.high)


def test_the_curve_is_the_suites_and_none_is_better_than_the_best(tmp_path: Path) -> None:
    found = read(tmp_path)
    curves = risk_curves(found)
    surest, best = (curves[curves["order"] == order] for order in ("surest", "best"))
    whole = risk_coverage(found.confidence, found.right)
    assert surest["risk"].to_numpy() == pytest.approx(whole.risk)  # 300 levels: all are drawn
    assert surest["risk"].mean() == pytest.approx(aurc_terms(found.confidence, found.right).mean())
    assert (best["risk"].to_numpy() <= surest["risk"].to_numpy() + 1e-12).all()
    assert best["risk"].iloc[-1] == pytest.approx((~found.right).mean())


def test_lists_written_as_text_are_read_and_other_text_is_left_out(tmp_path: Path) -> None:
    rows: dict[str, list[Any]] = {
        "probabilities": ["[0.25, 0.75]", "[1e-05, 0.99999]", "no list"],
        "correct": [True, False, True],
    }
    view = shown(audit_with(tmp_path, "third/old", rows), "third/old")
    sql = confidence_sql(view.declared)
    assert sql is not None
    found = answers(view.rows, sql)
    assert found.confidence.tolist() == [0.75, 0.99999]
    assert found.right.tolist() == [True, False]


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        ({"confidence": "double", "correct": "bool"}, ("confidence::DOUBLE", "correct")),
        ({"probabilities": "list<double>", "label": "int64", "predicted": "int64"}, "label = predicted"),
        ({"confidence": "double", "label": "int64", "predicted": "string"}, None),
        ({"probabilities": "string", "correct": "bool"}, "correct"),
        ({"confidence": "double"}, None),
        ({"label": "int64", "predicted": "int64"}, None),
    ],
)
def test_which_columns_it_fits(types: dict[str, str], expected: object) -> None:
    found = confidence_sql(Declaration("s/p", {name: Column(name, kind) for name, kind in types.items()}))
    assert (found[1] if isinstance(expected, str) and found else found) == expected
