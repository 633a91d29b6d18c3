from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from privacy.audit import guess

CANARIES = st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=7)


@given(CANARIES, st.data())
def test_right_is_the_least_over_all_orders_of_ties(canaries: list[tuple[int, bool]], data: st.DataObject) -> None:
    m = len(canaries)
    plus = data.draw(st.integers(0, m))
    minus = data.draw(st.integers(0, m - plus))
    scores, coins = zip(*canaries, strict=True)
    sides = []
    for count, sign, target in ((plus, 1, True), (minus, -1, False)):
        chosen = []
        for order in itertools.permutations(range(m)):
            best = sorted(order, key=lambda index: -sign * scores[index])[:count]
            chosen.append(sum(coins[index] == target for index in best))
        sides.append(min(chosen))
    found = guess(scores, coins, plus, minus)
    assert found.right == sum(sides)
    assert (found.canaries, found.made) == (m, plus + minus)


def test_without_ties_it_counts_both_ends() -> None:
    found = guess([5.0, 4.0, 3.0, 2.0, 1.0], np.array([1, 0, 1, 1, 0]), 2, 2)
    assert found.right == 2  # 5 is in, 4 is not; 1 is out, 2 is not
    assert guess([np.inf, 0.0, -np.inf], [1, 1, 0], 1, 1).right == 2
