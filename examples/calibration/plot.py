"""Draws reliability and risk-coverage of a finished audit with quality/classification, from its rows alone.

python examples/calibration/plot.py AUDIT_FOLDER OUTPUT.png
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from harness.api.scorer import Bools, Floats
from harness.record.rows import read_rows
from harness.stats.confidence import BINS, risk_coverage
from harness.stats.intervals import clopper_pearson
from suites.quality.classification.calibration import calibration_error, equal_width
from suites.quality.classification.metrics import confidence_of
from suites.quality.classification.selective import aurc_terms

PROBE = "quality/classification"


def draw(audit: Path, output: Path) -> None:
    """Write the plot of an audit's folder. Raises SystemExit where it has no usable row of the probe."""
    from matplotlib.figure import Figure

    rows = read_rows(audit, PROBE)
    good = rows[rows["status"] == "ok"]
    if good.empty:
        raise SystemExit(f"{audit}: no usable row of {PROBE}; run it first")
    confidence, right = confidence_of(good)
    figure = Figure(figsize=(10, 4.4), layout="constrained")
    reliability, risk = figure.subplots(1, 2)
    _reliability(reliability, confidence, right)
    _risk(risk, confidence, right)
    figure.savefig(output, dpi=110)


def _reliability(axes: Any, confidence: Floats, right: Bools) -> None:
    """Share right against mean confidence, a point for each bin, as large as it has texts."""
    bins = equal_width(confidence)
    for each in range(BINS):
        mine = bins == each
        n = int(mine.sum())
        if not n:
            continue
        x, y, interval = confidence[mine].mean(), right[mine].mean(), clopper_pearson(int(right[mine].sum()), n)
        axes.plot([x, x], [interval.low, interval.high], color="tab:blue", linewidth=1)
        axes.scatter([x], [y], s=20 + 400 * n / len(right), color="tab:blue", alpha=0.6)
    axes.plot([0, 1], [0, 1], color="grey", linestyle="--", label="believable")
    found = calibration_error(confidence, right)
    interval = found.interval
    low = float(confidence.min())
    axes.set(xlim=(low - 0.02, 1.02), ylim=(0, 1.02), xlabel="confidence", ylabel="share right, 95 % interval")
    axes.set_title(f"ECE {found.value:.3f} [{interval.low:.3f}, {interval.high:.3f}], n = {len(right)}")
    axes.legend(loc="lower right")


def _risk(axes: Any, confidence: Floats, right: Bools) -> None:
    """Share wrong against the share answered, beside the best order there is and none."""
    n, wrong = len(right), float((~right).mean())
    curve, best = risk_coverage(confidence, right), risk_coverage(right + np.arange(n) / (2 * n), right)
    axes.plot(curve.coverage, curve.risk, color="tab:blue", label="surest first")
    axes.plot(best.coverage, best.risk, color="tab:green", linestyle=":", label="if it knew its errors")
    axes.axhline(wrong, color="grey", linestyle="--", label="in any order")
    axes.set(
        xlim=(0, 1), ylim=(0, 1.15 * wrong + 0.02), xlabel="share of texts answered", ylabel="share wrong of those"
    )
    axes.set_title(f"AURC {aurc_terms(confidence, right).mean():.3f}")
    axes.legend(loc="upper left")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    draw(Path(sys.argv[1]), Path(sys.argv[2]))
