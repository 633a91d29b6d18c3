"""The plot of the calibration example is drawn from an audit's rows."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest

from harness.api.case import make_cases
from harness.api.probe import ok_row
from harness.record.rows import RowStore
from suites.quality.classification import Classification

SCRIPT = Path(__file__).parents[1] / "examples" / "calibration" / "plot.py"


def test_it_is_drawn_from_rows(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    store = RowStore(tmp_path, "quality/classification", Classification.Row)
    sure = rng.uniform(0.5, 1, 60)
    store.append(
        ok_row(case, label=1, predicted=int(hit), probabilities=[1 - p, p], nll=0.1, truncated=0)
        for case, p, hit in zip(make_cases({"at": at} for at in range(60)), sure, rng.random(60) < sure, strict=True)
    )
    module = runpy.run_path(str(SCRIPT))
    module["draw"](tmp_path, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_an_audit_without_the_probe_says_so(tmp_path: Path) -> None:
    module = runpy.run_path(str(SCRIPT))
    with pytest.raises(SystemExit, match="no usable row of quality/classification; run it first"):
        module["draw"](tmp_path, tmp_path / "plot.png")
