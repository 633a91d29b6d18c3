from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from harness.api.curves import Curve, CurvePlot
from harness.stats.intervals import clopper_pearson
from suites.memorization.hygiene.ceilings import CURVE_RATES
from suites.memorization.hygiene.roc import CEILING, CHANCE, roc, why_no_roc

N = 400
SIGNALS = {"loss": -1.0, "zlib": 1.0, "min_k": 1.0}


def rows(blind: float = 0.0) -> pd.DataFrame:
    rng, member = np.random.default_rng(0), np.arange(N) < N // 2
    return pd.DataFrame(
        {
            "case_id": [str(place) for place in range(N)],
            "status": "ok",
            "member": member,
            "fixing": False,
            "loss": rng.normal(np.where(member, -1, 0)),
            "zlib": rng.normal(np.where(member, 0.5, 0)),
            "min_k": np.nan,
            "blind": rng.normal(np.where(member, blind, 0)),
            "blind_fold": np.arange(N) % 5,
        }
    )


def plotted(frame: pd.DataFrame) -> CurvePlot:
    [plot] = roc(frame, SIGNALS, "assay roc AUDIT")
    return plot


def curve(plot: CurvePlot, name: str) -> Curve:
    return next(each for each in plot.curves if each.name == name)


def test_scores_that_are_all_one_are_drawn() -> None:
    found = curve(plotted(rows().assign(loss=1.0)), "loss")
    assert [(at.x, at.y) for at in found.points] == [(1.0, 1.0)]


def test_each_signal_has_its_curve_and_every_point_is_one_of_a_threshold() -> None:
    frame = rows()
    plot = plotted(frame)
    assert [each.name for each in plot.curves] == ["loss", "zlib", CHANCE]
    assert [each.n for each in plot.curves] == [N // 2, N // 2, None]
    member = frame["member"]
    of_threshold: dict[float, float] = {}
    for threshold in frame["loss"]:
        told = frame["loss"] <= threshold
        rate = float(told[~member].mean())
        of_threshold[rate] = max(of_threshold.get(rate, 0.0), float(told[member].mean()))
    points = curve(plot, "loss").points
    assert len(points) > 30
    for at in points:
        assert at.y == pytest.approx(of_threshold[min(of_threshold, key=lambda rate: abs(rate - at.x))])
        exact = clopper_pearson(round(at.y * (N // 2)), N // 2)
        assert (at.low, at.high) == pytest.approx((exact.low, exact.high))
    assert (points[-1].x, points[-1].y) == (1.0, 1.0)
    assert points[0].x == pytest.approx(min(rate for rate in of_threshold if rate > 0))


def test_the_ceiling_is_a_claim_s_and_begins_where_the_records_do() -> None:
    allowed = [min(1.0, 3 * rate) for rate in CURVE_RATES]
    plot = plotted(rows().assign(ceiling_curve=pd.Series([allowed] * N)))
    [claimed] = [each for each in plot.curves if each.claimed]
    assert claimed.name == CEILING
    assert [at.y for at in claimed.points] == pytest.approx([min(1.0, 3 * at.x) for at in claimed.points])
    assert claimed.points[0].x == pytest.approx(curve(plot, CHANCE).points[0].x) == 0.001
    left = plot.without_claimed()
    assert left is not None
    assert [each.name for each in left.curves] == ["loss", "zlib", CHANCE]
    assert not any(
        each.claimed for each in plotted(rows().assign(ceiling_curve=pd.Series([[]] * N, dtype=object))).curves
    )


def test_the_ceiling_is_known_where_a_table_reads_it() -> None:
    assert list(CURVE_RATES) == sorted(set(CURVE_RATES))
    assert {float(f"{step}e{power}") for power in range(-5, 0) for step in (1, 2, 5)} <= set(CURVE_RATES)


def test_many_records_make_a_small_curve() -> None:
    rng, member = np.random.default_rng(1), np.arange(40_000) % 2 == 0
    frame = pd.DataFrame(
        {
            "status": "ok",
            "member": member,
            "fixing": False,
            "loss": rng.normal(size=40_000),
            "blind": np.nan,
            "blind_fold": pd.NA,
        }
    )
    [plot] = roc(frame, {"loss": -1.0}, "")
    assert 100 < len(plot.curves[0].points) < 200


def test_what_texts_alone_tell_is_not_drawn() -> None:
    assert roc(rows(blind=3.0), SIGNALS, "") == ()
    assert "not judgeable: members and non-members differ" in str(why_no_roc(rows(blind=3.0)))
    assert roc(rows().assign(member=True), SIGNALS, "") == ()
    assert why_no_roc(rows().assign(member=True)) == "1 of two sides were scored"
    assert why_no_roc(rows().assign(status="error")) == "0 of two sides were scored"
    assert why_no_roc(rows()) is None
