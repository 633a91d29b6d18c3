"""Filtered success from rows: counts by hand, and bounds by trying every way a missing verdict can fall."""

from __future__ import annotations

import json
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.api.declared import measure_declared
from harness.api.metrics import Better, Metric
from harness.stats.intervals import clopper_pearson
from suites.adversarial.semantics.columns import SEMANTIC_COLUMNS
from suites.adversarial.semantics.filtered import filtered_success
from suites.adversarial.semantics.params import SemanticsParams
from tests.fakes import by_key

ALL = SemanticsParams(max_perplexity_ratio=2.0)


def row(
    outcome: str = "succeeded",
    similarity: float | None = 0.99,
    grammar: tuple[int, int] | None = (1, 1),
    perplexity: tuple[float, float] | None = (10.0, 15.0),
    why: str = "gone",
) -> dict[str, Any]:
    missing = {"similarity": similarity, "grammar": grammar, "perplexity": perplexity}
    return {
        "status": "ok",
        "outcome": outcome,
        "similarity": similarity,
        "angular_similarity": None if similarity is None else 1 - np.arccos(similarity) / np.pi,
        "grammar_errors_before": None if grammar is None else grammar[0],
        "grammar_errors_after": None if grammar is None else grammar[1],
        "perplexity_before": None if perplexity is None else perplexity[0],
        "perplexity_after": None if perplexity is None else perplexity[1],
        "semantics_source": json.dumps({name: f"the {name} fake" for name, value in missing.items() if value}),
        "semantics_missing": json.dumps({name: why for name, value in missing.items() if value is None}),
    }


def filtered(rows: list[dict[str, Any]], params: SemanticsParams = ALL) -> dict[str, Metric]:
    return {key: metric for (key, _), metric in by_key(measured(pd.DataFrame(rows), params)).items()}


def measured(rows: pd.DataFrame, params: SemanticsParams = ALL) -> list[Metric]:
    return measure_declared((filtered_success(params),), rows, "no text was attacked")


def error() -> dict[str, Any]:
    return {**dict.fromkeys(row()), "status": "error"}


BAD = (row(similarity=0.5), row(grammar=(0, 1)), row(perplexity=(10.0, 20.5)))
SKIPPED = {**dict.fromkeys(row()), "status": "ok", "outcome": "skipped"}
FAILED = row("failed", similarity=0.1, grammar=(0, 9), perplexity=(1.0, 99.0))


def test_successes_that_keep_every_threshold_over_attacked_texts() -> None:
    found = filtered([row(), row(), *BAD, FAILED, FAILED, SKIPPED, error()])
    kept = found["filtered_success_rate"]
    assert (kept.value, kept.n, kept.missing) == (2 / 7, 7, 1)
    interval = clopper_pearson(2, 7)
    assert (kept.low, kept.high, kept.interval) == (interval.low, interval.high, "Clopper-Pearson")
    assert kept.note.startswith(
        "keeps cosine similarity at least 0.98, at most 0 new grammar errors, "
        "perplexity at most 2 times the original's; measured by the similarity fake, "
        "the grammar fake, the perplexity fake"
    )
    assert [metric.key for metric in found.values() if metric.headline] == ["filtered_success_rate"]
    assert {key for key, metric in found.items() if metric.better is not Better.NEITHER} == {"filtered_success_rate"}


def test_what_each_threshold_rejects_and_the_means() -> None:
    found = filtered([row(), row(), *BAD, FAILED, SKIPPED, error()])
    for measure in ("similarity", "grammar", "perplexity"):
        rejected, interval = found[f"rejected_by_{measure}"], clopper_pearson(1, 5)
        assert (rejected.value, rejected.n, rejected.missing) == (1 / 5, 5, 1)
        assert (rejected.low, rejected.high) == (interval.low, interval.high)
    assert found["success_similarity"].value == pytest.approx((0.99 * 4 + 0.5) / 5)
    assert found["success_new_grammar_errors"].value == pytest.approx(1 / 5)
    assert found["success_perplexity_ratio"].value == pytest.approx((1.5**4 * 2.05) ** (1 / 5))
    for key in ("success_similarity", "success_angular_similarity"):
        assert found[key].low is not None, "an interval"
        assert found[key].low <= found[key].value <= found[key].high  # type: ignore[operator]
    errors = found["success_new_grammar_errors"]  # has no bounds, and five say nothing of rare ones
    assert (errors.low, errors.high) == (None, None)
    assert "no interval: 5 independent observations are too few" in errors.note


def test_a_bound_itself_is_kept() -> None:
    edge = row(similarity=0.98, grammar=(2, 2), perplexity=(10.0, 20.0))
    assert filtered([edge])["filtered_success_rate"].value == 1.0


def test_the_angular_threshold_is_about_the_angle() -> None:
    params = SemanticsParams(measures=("similarity",), similarity="angular", min_similarity=0.9)
    rows = [row(similarity=similarity) for similarity in (0.96, 0.95, 0.9)]  # angles of 0.09, 0.1011, 0.14 pi
    kept = filtered(rows, params)["filtered_success_rate"]
    assert kept.value == pytest.approx(1 / 3)
    assert "angular similarity at least 0.9" in kept.note


def test_without_a_resource_the_filtered_rate_is_missing_and_says_why() -> None:
    rows = [row(grammar=None, why="no tagger"), row(grammar=None, similarity=0.5, why="no tagger"), FAILED, error()]
    found = filtered(rows)
    kept = found["filtered_success_rate"]
    assert (kept.value, kept.n, kept.missing) == (None, 0, 3)
    assert kept.note == "no success has its grammar measured: no tagger"
    assert (found["rejected_by_grammar"].value, found["success_new_grammar_errors"].value) == (None, None)
    assert found["rejected_by_similarity"].value == 1 / 2


def test_rows_from_before_the_columns_are_missing() -> None:
    rows = [{name: value for name, value in row().items() if name not in SEMANTIC_COLUMNS}]
    found = filtered(rows)
    assert found["filtered_success_rate"].value is None
    assert "the rows do not say why" in found["filtered_success_rate"].note


def test_some_successes_without_a_verdict_widen_the_interval() -> None:
    rows = [row(), row(), row(similarity=0.5), row(grammar=None), row(grammar=None, similarity=0.5), FAILED]
    kept = filtered(rows)["filtered_success_rate"]
    assert kept.value == pytest.approx(min(5 * 2 / 3, 3) / 6)
    assert (kept.low, kept.high) == (clopper_pearson(2, 6).low, clopper_pearson(3, 6).high)
    assert kept.missing == 1
    assert "1 of 5 successes without a verdict (grammar: gone)" in kept.note
    assert filtered(rows)["rejected_by_grammar"].missing == 2


def test_without_successes_nothing_is_left_to_filter() -> None:
    found = filtered([FAILED, FAILED, SKIPPED])
    assert found["filtered_success_rate"].value == 0.0
    assert found["filtered_success_rate"].high == clopper_pearson(0, 2).high
    assert found["success_similarity"].note == found["rejected_by_grammar"].note == "no attack succeeded"


@pytest.mark.parametrize("rows", [[SKIPPED], [error()], [SKIPPED, error()]])
def test_without_attacks_everything_is_missing(rows: list[dict[str, Any]]) -> None:
    found = filtered(rows)
    assert list(found) == [each.key for each in filtered_success(ALL).named]
    assert len(found) == 8
    assert {metric.value for metric in found.values()} == {None}
    assert {metric.note for metric in found.values()} == {"no text was attacked"}


def test_without_a_threshold_nothing_is_filtered() -> None:
    loose = SemanticsParams(min_similarity=None, max_new_grammar_errors=None)
    found = filtered([row()], loose)
    assert found["filtered_success_rate"].value is None
    assert found["filtered_success_rate"].note == "no threshold of semantics is set for what is measured"
    assert found["rejected_by_perplexity"].note == "no threshold on perplexity is set"
    assert found["success_perplexity_ratio"].value == pytest.approx(1.5)


def test_what_is_not_measured_has_no_metrics() -> None:
    found = filtered([row()], SemanticsParams(measures=("grammar",)))
    assert set(found) == {*("filtered_success_rate", "rejected_by_grammar", "success_new_grammar_errors")}


def test_the_rows_are_left_as_they_are_and_their_order_does_not_matter() -> None:
    frame = pd.DataFrame([row(), *BAD, FAILED, SKIPPED, error(), row(grammar=None)])
    before = frame.copy()
    shuffled = frame.sample(frac=1, random_state=3)
    assert [m.value for m in measured(frame)] == pytest.approx([m.value for m in measured(shuffled)])
    pd.testing.assert_frame_equal(frame, before)


SIMILARITIES = st.sampled_from([0.99, 0.5, None])
GRAMMARS = st.sampled_from([(0, 0), (0, 2), None])


@given(st.lists(st.tuples(SIMILARITIES, GRAMMARS), min_size=1, max_size=6), st.integers(0, 3))
def test_the_interval_holds_whatever_the_missing_measures_are(
    successes: list[tuple[float | None, tuple[int, int] | None]], failures: int
) -> None:
    params = SemanticsParams()
    rows = [row(similarity=s, grammar=g) for s, g in successes] + [FAILED] * failures
    kept = filtered(rows, params)["filtered_success_rate"]
    attacked = len(rows)
    counts = set()
    for ways in product([True, False], repeat=2 * len(successes)):
        pairs = zip(successes, zip(ways[::2], ways[1::2], strict=True), strict=True)
        counts.add(
            sum(
                (way[0] if s is None else s >= 0.98) and (way[1] if g is None else g[1] <= g[0])
                for (s, g), way in pairs
            )
        )
    if kept.value is None:
        assert all(s is None or g is None for s, g in successes)
        return
    assert kept.better is Better.LOWER
    assert min(counts) / attacked - 1e-9 <= kept.value <= max(counts) / attacked + 1e-9
    assert kept.low == pytest.approx(clopper_pearson(min(counts), attacked).low)
    assert kept.high == pytest.approx(clopper_pearson(max(counts), attacked).high)
