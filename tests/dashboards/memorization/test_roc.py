from __future__ import annotations

import math

import numpy as np
import pandas as pd

from dashboards.memorization.roc import NEEDED, ceiling, claimed, curve, least_rate, signals, why_unjudged
from harness.api.curves import Curve, CurvePlot, Point
from harness.api.metrics import Better, Metric, missing_metric
from harness.stats.intervals import clopper_pearson


def rows(members: int, held_out: int, shift: float = 0.0) -> pd.DataFrame:
    """Losses of members lie `shift` below those of records held out, half of which fix thresholds."""
    rng = np.random.default_rng(0)
    member = np.arange(members + held_out) < members
    return pd.DataFrame(
        {
            "member": member,
            "fixing": ~member & (np.arange(members + held_out) % 2 == 0),
            "loss": rng.normal(size=members + held_out) - shift * member,
            "zlib": np.where(member, 1.0, np.nan),
        }
    )


def test_rates_are_those_of_counting_by_hand() -> None:
    held_out = 2 * (NEEDED + 2)
    good = pd.DataFrame(
        {
            "member": [True] * 4 + [False] * held_out,
            "fixing": [False] * 4 + [True, False] * (held_out // 2),
            "loss": [0.5, 10.5, 11.5, 12.5, *np.repeat(np.arange(1.0, held_out // 2 + 1), 2)],
        }
    )
    found = curve(good, "loss")  # of 12 fixing losses 10 lie below the threshold 11, the twelfth is above no other
    assert list(found["fpr"]) == [10 / 12, 11 / 12]
    assert list(found["tpr"]) == [2 / 4, 3 / 4]
    exact = clopper_pearson(2, 4)
    assert math.isclose(found["low"].iloc[0], exact.low)
    assert math.isclose(found["high"].iloc[0], exact.high)
    others = clopper_pearson(10, 12)
    assert math.isclose(found["fpr_low"].iloc[0], others.low)
    assert math.isclose(found["fpr_high"].iloc[0], others.high)


def test_a_signal_that_tells_nothing_lies_on_the_diagonal_and_one_that_tells_above_it() -> None:
    nothing = curve(rows(20_000, 20_000), "loss")
    assert np.allclose(nothing["tpr"], nothing["fpr"], atol=0.02)
    told = curve(rows(2000, 2000, shift=2.0), "loss")
    assert (told["low"] > told["fpr"]).mean() > 0.8
    mirrored = curve(rows(2000, 2000, shift=2.0).assign(zlib=lambda good: -good["loss"]), "zlib")
    assert mirrored.equals(told)  # a low loss and a high score are the same


def test_a_rate_that_so_few_cannot_show_is_no_point() -> None:
    good = rows(500, 400)
    assert least_rate(good) == NEEDED / 200
    found = curve(good, "loss")
    assert found["fpr_high"].min() > NEEDED / 200
    assert curve(rows(500, 2 * NEEDED), "loss").empty
    assert least_rate(rows(5, 0)) == 1


def test_only_signals_that_both_sides_have() -> None:
    assert signals(rows(50, 50)) == ["loss"]
    assert signals(rows(50, 0)) == []


def test_where_a_probe_has_no_halves_a_lot_makes_them() -> None:
    found = curve(rows(2000, 2000, shift=2.0).drop(columns="fixing"), "loss")
    assert (found["tpr"] >= found["fpr"]).all()


def test_the_ceiling_is_of_the_first_row_that_has_one_or_of_the_curves_of_the_audit() -> None:
    held = [None, "[0.2, 0.5, 0.0]", [0.9, 0.9, 0.9]]
    found = ceiling(held, (0.01, 0.001, 0.1))
    assert list(zip(found["fpr"], found["most"], strict=True)) == [(0.001, 0.5), (0.01, 0.2)]
    assert ceiling([[], None], (0.01,)).empty
    measured, most = (
        Curve(name=name, points=(Point(x=0.1, y=0.3),), claimed=name == "claim") for name in ("loss", "claim")
    )
    plot = CurvePlot(key="a/b/roc", title="", x="", y="", curves=(measured, most))
    assert claimed([plot]).to_dict("list") == {"fpr": [0.1], "most": [0.3]}
    assert claimed([]).empty


def test_what_the_audit_did_not_judge_has_no_curve() -> None:
    def none(key: str, probe: str = "memorization/membership") -> Metric:
        return missing_metric(f"{probe}/{key}", "not judgeable: the years tell", better=Better.LOWER)

    blind = Metric(key="memorization/membership/blind_auc", value=0.9, n=5, better=Better.TARGET)
    assert why_unjudged([blind, none("auc")], "memorization/membership") == "not judgeable: the years tell"
    told = Metric(key="memorization/membership/auc", value=0.6, n=5, better=Better.LOWER)
    assert why_unjudged([blind, told, none("auc_zlib")], "memorization/membership") == ""
    assert why_unjudged([none("auc")], "memorization/shadow_attack") == ""
