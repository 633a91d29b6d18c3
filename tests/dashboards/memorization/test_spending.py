from __future__ import annotations

import math
from pathlib import Path

from dashboards.memorization.spending import group_of, name_below, over_steps, over_trainings, said, table
from harness.provenance.spending import SharedRecords, Spending, Spent, TrainingSpent

A = TrainingSpent(
    name="a",
    created="2026-01-02T03:04:05+00:00",
    steps=20,
    planned=30,
    records=1000,
    epsilon=2.0,
    history=(Spent(after=10, epsilon=1.5), Spent(after=20, epsilon=2.0)),
)
B = TrainingSpent(name="b", state="unfinished", steps=0, epsilon=math.inf, why="trained without privacy")
GROUP = SharedRecords(
    unit="each record",
    delta=1e-5,
    accountant="prv",
    trainings=(A, B),
    together=(Spent(after=1, epsilon=2.0), Spent(after=2, epsilon=math.inf)),
    worst=("a", "b"),
    why="b: trained without privacy",
    unknown=("c",),
)
FOUND = Spending(written="2026-01-03T00:00:00+00:00", groups=(GROUP,), total=3.0, total_delta=1e-5)


def test_a_curve_begins_where_nothing_was_spent() -> None:
    assert list(over_steps(GROUP, "a")["step"]) == [0, 10, 20]
    assert list(over_steps(GROUP, "a")["epsilon"]) == [0.0, 1.5, 2.0]
    assert over_steps(GROUP, "b").empty


def test_bars_end_at_the_training_that_leaves_no_bound_which_is_said() -> None:
    assert over_trainings(GROUP).to_dict("records") == [{"place": 1, "training": "a", "epsilon": 2.0}]
    told = said(GROUP, FOUND)
    assert "no bound (b: trained without privacy)" in told
    assert "is passed" in told  # no bound keeps to no total
    assert "Nobody can tell whether these read the same records: c." in told
    kept = said(GROUP.model_copy(update={"together": GROUP.together[:1], "unknown": ()}), FOUND)
    assert "epsilon at most 2.000 at delta 1e-05" in kept
    assert "is kept" in kept


def test_a_training_without_a_ledger_is_never_zero() -> None:
    lines = table(GROUP)
    assert list(lines["epsilon alone"]) == ["2.000", "no bound: trained without privacy"]
    assert list(lines["noisy steps"]) == ["20 of 30", "0"]
    assert list(lines["records"]) == ["1,000", "unknown"]
    assert list(lines["state"]) == ["finished", "unfinished"]


def test_a_checkpoint_is_found_by_its_name_below_the_folder() -> None:
    assert name_below(Path("/c"), Path("/c/frontier/eps8")) == "frontier/eps8"
    assert group_of(FOUND, "b") is GROUP
    assert group_of(FOUND, "d") is None
