from __future__ import annotations

import math

import numpy as np
import pandas as pd

from dashboards.memorization.exposure import NOT_PLANTED, NOTHING, means, most, points


def rows() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "planted": [True, True, True, False, False],
            "repetitions": [16, 1, 1, 16, 1],
            "exposure": [10.0, 2.0, 4.0, 1.0, 0.5],
            "log2_space": [10.0] * 5,
            "found": [True, False, False, False, False],
        }
    )


def test_means_come_by_copies_the_control_last_whatever_its_coin_would_have_planted() -> None:
    found = means(rows())
    assert list(found["copies"]) == ["1", "16", NOT_PLANTED]
    assert list(found["mean"]) == [3.0, 10.0, 0.75]
    assert list(found["n"]) == [2, 1, 2]
    assert list(found["found"]) == [0, 1, 0]
    assert (found["low"] <= found["mean"]).all()
    assert (found["high"] >= found["mean"]).all()


def test_an_interval_stays_within_what_an_exposure_can_be_and_narrows_with_more_secrets() -> None:
    found = means(rows())
    assert (found["low"] >= 0).all()
    assert (found["high"] <= 10).all()
    one = found[found["copies"] == "16"].iloc[0]
    assert one["low"] < 1  # one secret at the top says little of the next one
    many = means(pd.concat([rows()] * 40))
    assert many["low"].iloc[1] > 8


def test_a_dot_per_secret() -> None:
    found = points(rows())
    assert list(found["copies"]) == ["1", "1", "16", NOT_PLANTED, NOT_PLANTED]
    assert list(found["exposure"]) == [2.0, 4.0, 10.0, 1.0, 0.5]
    assert most(rows()) == 10


def test_nothing_is_the_mean_exposure_of_a_rank_drawn_by_lot() -> None:
    size = 100_000
    ranks = np.arange(1, size + 1)
    assert math.isclose(float((math.log2(size) - np.log2(ranks)).mean()), NOTHING, abs_tol=1e-3)
