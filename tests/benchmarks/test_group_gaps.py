"""Why the intervals of differences between groups are no bootstraps."""

from __future__ import annotations

import json

import pytest

from benchmarks import group_gaps
from benchmarks.group_gaps import WORLDS, cells
from benchmarks.report import RESULTS


def test_few_runs_already_show_it() -> None:
    percentile, _ = cells(WORLDS[0], 40)
    assert percentile.ours <= 0.1
    assert percentile.peer == 1.0


def test_ours_is_within_its_error_in_the_committed_runs() -> None:
    found = json.loads((RESULTS / "group_gaps.json").read_text(encoding="utf-8"))["cells"]
    assert {cell["case"].partition(":")[0] for cell in found} == {world.name for world in WORLDS}
    assert all(cell["ours"] <= 0.05 and cell["runs"] == group_gaps.RUNS for cell in found)
    alike = [cell["peer"] for cell in found if "alike" in cell["case"] and "percentiles" in cell["case"]]
    assert alike == [pytest.approx(1.0)] * 2
