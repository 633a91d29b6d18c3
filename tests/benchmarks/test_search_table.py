import numpy as np
import pytest

from benchmarks.search_spaces import GLOVE, SLOW, WORDNET, Space
from benchmarks.search_table import NOW, RELEASE, SUCCESSES, Row, costs, method_cell, order_cells, ratio, space_cell


def _row(queries: float, outcome: str = "succeeded", credited: float | None = None) -> Row:
    return {
        "id": str(queries),
        "outcome": outcome,
        "queries": queries,
        "credited": queries if credited is None else credited,
        "exhausted": False,
        "words": 10,
        "may_change": 6,
        "candidates": 5,
        "words_with_candidates": 3,
    }


ROWS: list[Row] = [
    _row(20),
    _row(50, "failed", 30),
    _row(9, "failed", 1),
    {"id": "s", "outcome": "skipped", "queries": 1},
]


@pytest.mark.parametrize(
    ("method", "way", "expected"),
    [
        ("WIR delete", SUCCESSES, [24, np.nan, np.nan, np.nan]),  # four words more are ranked
        ("WIR delete", RELEASE, [24, 34, 1, np.nan]),  # who returns the original is given one query
        ("WIR delete", NOW, [20, 50, 9, np.nan]),
        ("WIR gradient", RELEASE, [22, 32, 3, np.nan]),
        ("greedy", SUCCESSES, [20, np.nan, np.nan, np.nan]),
        ("PSO", NOW, [20, 50, 9, np.nan]),
        ("PSO", RELEASE, [20, 30, 1, np.nan]),
    ],
)
def test_what_counts_in_which_way(method: str, way: str, expected: list[float]) -> None:
    np.testing.assert_array_equal(costs(method, ROWS, way), expected)


def test_the_release_did_not_count_the_rest_of_a_generation() -> None:
    won = [_row(90, credited=40)]
    assert [costs("genetic", won, way)[0] for way in (SUCCESSES, RELEASE, NOW)] == [40, 40, 90]


def test_a_ratio_is_of_means_over_what_counts_for_each_or_for_both() -> None:
    top, base = np.array([10.0, 30.0, np.nan, 8.0]), np.array([5.0, np.nan, 7.0, 1.0])
    assert ratio(top, base)["ratio"] == pytest.approx(16 / (13 / 3), rel=1e-3)
    paired = ratio(top, base, paired=True)
    assert (paired["ratio"], paired["sentences"]) == (pytest.approx(18 / 6), 2)


def test_an_interval_holds_the_ratio_of_proportional_costs() -> None:
    base = np.random.default_rng(0).uniform(5, 50, 80)
    found = ratio(3 * base, base)
    assert found["ratio"] == 3
    assert found["interval"] == [3, 3]
    noisy = ratio(np.random.default_rng(1).permutation(base) * 3, base)
    assert noisy["interval"][0] < noisy["ratio"] == 3 < noisy["interval"][1]


def _as_published(space: Space, way: str, change: dict[str, float] | None = None) -> dict[str, list[Row]]:
    """Successes that cost what the paper says, ten of each method, five of the slow ones."""
    found = {}
    for method, one in space.published.items():
        queries = one.per_success if way == SUCCESSES else one.queries
        queries *= (change or {}).get(method, 1.0)
        rows = [_row(queries) | {"words": 6} for _ in range(5 if method in SLOW else 10)]
        found[method] = [row | {"credited": row["credited"] - 2 * (method == "WIR gradient")} for row in rows]
    return found


@pytest.mark.parametrize("space", [GLOVE, WORDNET])
def test_the_published_numbers_hold_of_themselves(space: Space) -> None:
    pairs, rank, near = order_cells(space, _as_published(space, SUCCESSES))[:3]
    assert pairs.ratio == 1
    assert pairs.target == 1
    assert pairs.extra["broken"] == []
    assert rank.ours == pytest.approx(1)
    assert near.ratio == 1
    assert near.extra["far"] == []


def test_a_method_out_of_place_is_named() -> None:
    pairs, rank, near = order_cells(WORDNET, _as_published(WORDNET, SUCCESSES, {"greedy": 0.1}))[:3]
    assert pairs.ours < pairs.peer
    assert rank.ours < 1
    assert any("< greedy" in one for one in pairs.extra["broken"])
    assert all("greedy" in one for one in pairs.extra["broken"])
    assert near.extra["far"] == ["greedy"]


def test_cells_of_a_method_and_of_its_space() -> None:
    crash: Row = {"id": "c", "outcome": "error", "error": "why"}
    cell = method_cell(WORDNET, "PSO", {"PSO": [*ROWS[:2], crash], "WIR delete": ROWS})
    assert cell.extra["crashed"] == ["why"]
    assert cell.extra["attacked"] == 2
    assert cell.extra["success"] == 0.5
    assert cell.ours == pytest.approx(20 / 24, abs=1e-3)
    assert cell.extra[NOW]["ratio"]["ratio"] == 1
    assert space_cell(WORDNET, ROWS).ours == 5
