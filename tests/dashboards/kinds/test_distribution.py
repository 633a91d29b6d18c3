from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dashboards.kinds.distribution import BINS, QUANTILES, numeric, spread
from tests.dashboards.kinds.shown import audit_with, shown

VALUES = [*np.random.default_rng(0).normal(size=500)]


def test_counts_and_quantiles_are_those_of_numpy(tmp_path: Path) -> None:
    rows = {"x": [*VALUES, None, float("nan"), 9.0], "status": ["ok"] * 502 + ["error"]}
    found = spread(shown(audit_with(tmp_path, "third/x", rows), "third/x").rows, "x")
    counts, edges = np.histogram(VALUES, bins=BINS)
    assert found.bins["rows"].tolist() == counts.tolist()
    assert found.bins["low"].to_numpy() == pytest.approx(edges[:-1])
    assert found.quantiles == pytest.approx(np.quantile(VALUES, QUANTILES))
    assert (found.n, found.missing) == (500, 2)


@pytest.mark.parametrize(("values", "bins"), [([2.0, 2.0], 1), ([float("inf"), None], 0)])
def test_one_value_and_none(tmp_path: Path, values: list[float], bins: int) -> None:
    found = spread(shown(audit_with(tmp_path, "third/x", {"x": values}), "third/x").rows, "x")
    assert len(found.bins) == bins
    assert found.n == 2 * bins
    assert found.bins["rows"].sum() == found.n


def test_columns_with_a_unit_come_first(tmp_path: Path) -> None:
    folder = audit_with(tmp_path, "third/x", {"x": [1.0], "word": ["a"], "n": [2]})
    assert [column.name for column in numeric(shown(folder, "third/x").declared)] == ["x", "n"]
