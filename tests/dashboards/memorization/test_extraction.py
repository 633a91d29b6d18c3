from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dashboards.audits import Audit, read_entry
from dashboards.memorization.extraction import by_copies, by_length, by_prefix, by_samples
from harness.api.estimates import share
from harness.api.metrics import Better, Metric
from harness.stats.intervals import clopper_pearson
from tests.audit_folder import make_audit

PROBE = "memorization/extraction"


def rows(documents: list[int] | None = None) -> pd.DataFrame:
    chance = [0.0, 0.01, 0.5, 1.0, 0.0]
    return pd.DataFrame(
        {
            "side": ["texts"] * 4 + ["control"],
            "document": documents or list(range(5)),
            "matched": [0, 2, 3, 3, 1],
            "chance": chance,
        }
    )


def at(found: pd.DataFrame, side: str, x: int) -> pd.Series:
    return found[(found["side"] == side) & (found["x"] == x)].iloc[0]


def test_shares_by_samples_are_those_of_the_formula_by_hand() -> None:
    found = by_samples(rows(), 0.5)
    assert at(found, "texts", 1)["share"] == 0.5  # chances of 0.5 and 1
    assert at(found, "texts", 100)["share"] == 0.75  # 1 - 0.99^100 = 0.63
    assert at(found, "texts", 50)["share"] == 0.5  # 1 - 0.99^50 = 0.39
    assert at(found, "control", 1_000_000)["share"] == 0
    assert at(by_samples(rows(), 0.9), "texts", 1)["share"] == 0.25


def test_a_chance_too_small_for_1_minus_q_still_counts() -> None:
    tiny = rows().assign(chance=1e-18)
    assert at(by_samples(tiny, 1e-13), "texts", 1_000_000)["share"] == 1


def test_shares_by_length_fall_and_end_at_none() -> None:
    found = by_length(rows())
    assert [at(found, "texts", x)["share"] for x in (1, 2, 3, 4)] == [0.75, 0.75, 0.5, 0.0]
    assert [at(found, "control", x)["share"] for x in (1, 2)] == [1.0, 0.0]


def test_single_windows_have_exact_intervals_and_those_of_one_text_count_once() -> None:
    line = at(by_length(rows()), "texts", 3)
    exact = clopper_pearson(2, 4)
    assert (line["low"], line["high"], line["n"]) == (exact.low, exact.high, 4)
    related = at(by_length(rows([0, 0, 1, 1, 4])), "texts", 3)
    assert related["n"] == 2
    assert related["low"] <= line["low"]
    assert related["high"] >= line["high"]


def test_copies_come_as_the_audit_measured_them_in_order() -> None:
    slices = ["8+ copies", "1 copy", "2-3 copies", "0 copies"]
    metrics = [
        share(f"{PROBE}/extracted_share_by_copies", hits, 10, better=Better.LOWER, slice=name)
        for hits, name in enumerate(slices)
    ]
    found = by_copies([*metrics, share(f"{PROBE}/extracted_share", 1, 10, better=Better.LOWER)], PROBE)
    assert list(found["x"]) == ["0 copies", "1 copy", "2-3 copies", "8+ copies"]
    assert list(found["share"]) == [0.3, 0.1, 0.2, 0.0]
    assert by_copies(metrics, "third/extraction").empty


@pytest.fixture
def audit(tmp_path: Path) -> Audit:
    found = read_entry(make_audit(tmp_path)).audit
    assert found is not None
    return found


def of(audit: Audit, prefix: object, value: float, weights: str | None = None) -> Audit:
    params = {"prefix_tokens": prefix, "suffix_tokens": 6}
    manifest = audit.manifest
    probe = manifest.probes[0].model_copy(update={"name": PROBE, "params": params})
    checkpoint = manifest.checkpoint.model_copy(update={"weights": weights or manifest.checkpoint.weights})
    metric = Metric(key=f"{PROBE}/extracted_share", value=value, low=0, high=1, n=9, better=Better.LOWER)
    changed = manifest.model_copy(update={"probes": (probe,), "checkpoint": checkpoint})
    return replace(audit, manifest=changed, metrics=(metric,))


def test_prefixes_are_of_audits_of_the_same_weights_the_newest_of_a_length(audit: Audit) -> None:
    weights = audit.manifest.checkpoint.weights
    audits = [of(audit, 32, 0.5), of(audit, 8, 0.25), of(audit, 32, 0.9), of(audit, 16, 0.7, "b" * 64)]
    found = by_prefix([*audits, of(audit, "eight", 0.1), audit], PROBE, weights)
    assert list(zip(found["x"], found["share"], strict=True)) == [(8, 0.25), (32, 0.5)]
    assert set(found["side"]) == {"suffix of 6 tokens"}


def test_chances_of_a_sample_are_those_of_drawing_many() -> None:
    rng = np.random.default_rng(0)
    drawn = (rng.random((20_000, 20)) < 0.05).any(axis=1).mean()
    assert math.isclose(drawn, 1 - 0.95**20, abs_tol=0.01)
    many = rows().assign(chance=0.05)
    assert at(by_samples(many, float(drawn) - 0.02), "texts", 20)["share"] == 1
    assert at(by_samples(many, float(drawn) + 0.02), "texts", 20)["share"] == 0
