from __future__ import annotations

import numpy as np
import pandas as pd

from harness.stats.places import ENOUGH, places


def test_each_kind_has_places_of_its_own_and_equal_scores_share_theirs() -> None:
    scores = pd.Series([1.0, 3.0, 2.0, 500.0, 500.0])
    found = places(scores, pd.Series(["a", "a", "a", "b", "b"]), pd.Series([""] * 5))
    assert np.allclose(found, [1 / 6, 5 / 6, 3 / 6, 0.5, 0.5])


def test_what_a_class_has_in_common_is_taken_off_where_there_is_enough_of_it() -> None:
    low, high = np.arange(ENOUGH, dtype=float), 100.0 + np.arange(ENOUGH)
    scores = pd.Series(np.concatenate([low, high]))
    kinds, labels = pd.Series(["a"] * 2 * ENOUGH), pd.Series(["x"] * ENOUGH + ["y"] * ENOUGH)
    found = places(scores, kinds, labels)
    assert np.allclose(found[:ENOUGH], found[ENOUGH:])  # less their means the classes are the same
    fewer = places(scores[1:], kinds[1:], labels[1:])  # of 19 nothing is taken off: 1 to 19 beside -9.5 to 9.5
    assert fewer[ENOUGH - 2] == fewer.max() == (39 - 0.5) / 39
    assert (fewer[:-ENOUGH] > fewer[ENOUGH - 1]).all()
