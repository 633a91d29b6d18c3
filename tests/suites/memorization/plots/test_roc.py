from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import numpy as np
import pandas as pd
import pytest

from harness.errors import NoDataError
from suites.memorization.plots.roc import curves, drawing

N = 400
SPACE = "{http://www.w3.org/2000/svg}"


def rows(blind: float = 0.0) -> pd.DataFrame:
    rng, member = np.random.default_rng(0), np.arange(N) < N // 2
    frame = pd.DataFrame(
        {
            "member": member,
            "fixing": False,
            "loss": rng.normal(np.where(member, -1, 0)),
            "zlib": rng.normal(np.where(member, 0.5, 0)),
            "blind": rng.normal(np.where(member, blind, 0)),
            "blind_fold": np.arange(N) % 5,
        }
    )
    return frame.assign(**dict.fromkeys(("log_odds", "min_k", "min_k_pp", "calibrated", "neighbours"), np.nan))


def test_scores_that_are_all_one_are_drawn() -> None:
    frame = rows().assign(loss=1.0, zlib=0.0)
    found = curves(frame)
    assert [each.points for each in found] == [((1.0, 1.0),)] * 2
    assert ElementTree.fromstring(drawing(found, ())).findall(f"{SPACE}polyline")


def test_each_signal_has_its_curve() -> None:
    frame = rows()
    found = curves(frame)
    assert [each.name for each in found] == ["loss", "zlib"]
    for threshold in frame["loss"].sort_values().iloc[[30, 100, 250]]:
        told = frame["loss"] <= threshold
        point = (told[~frame["member"]].mean(), told[frame["member"]].mean())
        if point[0] > 0:
            assert min(np.hypot(x - point[0], y - point[1]) for x, y in found[0].points) < 1e-12


def test_axes_are_logarithmic_and_the_ceiling_stands_where_it_is_claimed() -> None:
    tree = ElementTree.fromstring(drawing(curves(rows()), ((0.01, 0.1), (0.1, 1.0))))
    lines = {line.findtext(f"{SPACE}title"): line for line in tree.findall(f"{SPACE}polyline")}
    assert set(lines) == {"chance", "loss", "zlib", "the claim allows"}
    first, second = (
        [float(value) for value in point.split(",")] for point in lines["the claim allows"].attrib["points"].split()
    )
    low, high = ([float(value) for value in point.split(",")] for point in lines["chance"].attrib["points"].split())
    decade = (high[0] - low[0]) / 3  # the least false-positive rate is 1 in 200, so three decades are drawn
    assert second[0] - first[0] == pytest.approx(decade, abs=0.2)
    assert first[1] - second[1] == pytest.approx(decade, abs=0.2)
    assert second[1] == high[1]


def test_what_texts_alone_tell_is_not_drawn() -> None:
    with pytest.raises(NoDataError, match="not judgeable: members and non-members differ"):
        curves(rows(blind=3.0))
    with pytest.raises(NoDataError, match="1 of two sides"):
        curves(rows().assign(member=True))
