from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harness.api.means import ratio_interval
from harness.api.metrics import RowValues
from harness.errors import AuditError, UsageError
from harness.stats.intervals import Method
from privacy.frontier.measure import linearised, measure
from privacy.frontier.rows import FILE_NAME, Quality, checked, read_frontier, write_frontier
from privacy.frontier.two_way import ONE_SEED, two_way, two_way_difference
from tests.privacy.frontier_rows import failed_rows, made_rows

INF = math.inf
PLAIN = {(INF, 0): [1, 1, 1, 0], (INF, 1): [1, 1, 0, 1]}
EIGHT = {(8.0, 0): [1, 1, 0, 0], (8.0, 1): [1, 0, 0, 1]}


def test_quality_and_loss_are_those_of_the_tables() -> None:
    frontier = measure(made_rows({**EIGHT, **PLAIN}))
    assert frontier.quality is Quality.ACCURACY
    plain, eight = frontier.points
    assert (plain.target, plain.private, plain.lost) == (INF, False, None)
    assert (eight.target, eight.delta, eight.noise_multiplier) == (8, 1e-5, 0.5)
    assert eight.epsilon == pytest.approx(7.92)
    assert (eight.seeds, eight.by_seed, eight.minutes) == ((0, 1), (0.5, 0.5), 1.5)
    assert eight.lost is not None
    ours, theirs = np.array(list(EIGHT.values())), np.array(list(PLAIN.values()))
    assert eight.quality.value == 0.5
    assert eight.lost.value == 0.25
    expected = two_way(theirs - ours, bounds=(-1.0, 1.0)).interval
    assert expected is not None
    assert eight.lost.interval is not None
    assert (eight.lost.interval.low, eight.lost.interval.high) == pytest.approx((expected.low, min(1, expected.high)))
    assert (frontier.n, frontier.left_out, frontier.floor, frontier.records) == (4, 0, 0.5, 1000)
    assert (frontier.units, frontier.accountants, frontier.failures) == (("each record",), ("prv",), {})


def test_points_are_sorted_whatever_the_order_of_the_rows() -> None:
    rows = made_rows({(1.0, 0): [1, 0], (INF, 0): [1, 1], (10.0, 0): [0, 1], (3.0, 0): [0, 0]})
    shuffled = rows.sample(frac=1, random_state=0)
    assert [point.target for point in measure(shuffled).points] == [INF, 10, 3, 1]
    assert measure(shuffled) == measure(rows)


def test_other_seeds_are_compared_by_their_means_with_the_seeds_of_both_in_the_interval() -> None:
    rng = np.random.default_rng(0)
    ours = {(8.0, seed): list(rng.random(50) < 0.6) for seed in (0, 1)}
    theirs = {(INF, seed): list(rng.random(50) < 0.8) for seed in (0, 1, 2)}
    lost = measure(made_rows({**ours, **theirs})).points[1].lost
    expected = two_way_difference(np.array(list(theirs.values())), np.array(list(ours.values())), 0.95, (-1.0, 1.0))
    assert lost is not None
    assert lost.value == pytest.approx(expected.value)
    assert lost.interval == expected.interval


def test_one_seed_says_so() -> None:
    frontier = measure(made_rows({(8.0, 0): [1, 0, 1], (INF, 0): [1, 1, 0]}))
    assert {point.quality.note for point in frontier.points} == {ONE_SEED}
    lost = frontier.points[1].lost
    assert lost is not None
    assert lost.note == ONE_SEED


def test_shares_stay_shares_and_values_alike_still_have_an_interval() -> None:
    """All of 20 right: the exact lower end is 0.025 ** (1 / 20), which draws come near."""
    rows = made_rows({(epsilon, seed): [1] * 20 for epsilon in (8.0, INF) for seed in (0, 1)})
    eight = measure(rows).points[1]
    assert eight.quality.interval is not None
    assert eight.quality.interval.low == pytest.approx(0.025 ** (1 / 20), abs=0.004)
    assert eight.quality.interval.high == 1
    assert eight.quality.interval.method == Method.TWO_WAY
    assert eight.lost is not None
    assert eight.lost.interval is not None
    reach = 1 - 0.025 ** (1 / 20)
    assert (eight.lost.interval.low, eight.lost.interval.high) == pytest.approx((-reach, reach), abs=0.004)
    wide = measure(made_rows({(8.0, 0): [1, 1, 1, 1], (8.0, 1): [0, 0, 0, 1]})).points[0].quality.interval
    assert wide is not None
    assert (wide.low, wide.high) == (0, 1)


def test_perplexity_is_a_ratio_of_sums_and_its_loss_a_ratio_of_perplexities() -> None:
    cells = {
        (2.0, 0): [(6.0, 2), (10.0, 4)],
        (2.0, 1): [(8.0, 2), (10.0, 4)],
        (INF, 0): [(4.0, 2), (5.0, 4)],
        (INF, 1): [(4.0, 2), (2.0, 4)],
    }
    frontier = measure(made_rows(cells, Quality.PERPLEXITY))
    plain, two = frontier.points
    assert plain.by_seed == pytest.approx((9 / 6, 6 / 6))
    assert two.by_seed == pytest.approx((16 / 6, 18 / 6))
    assert two.quality.value == pytest.approx(17 / 6)
    assert two.lost is not None
    assert two.lost.value == pytest.approx(17 / 6 - 7.5 / 6)
    assert frontier.floor is None


def test_linearised_values_vary_as_the_ratio_does() -> None:
    """The interval of the ratio itself is the reference."""
    rng = np.random.default_rng(0)
    tokens = rng.integers(5, 100, size=400).astype(float)
    nats = tokens * rng.normal(3, 0.4, size=400) + rng.normal(0, 5, size=400)
    values = linearised(nats, tokens)
    assert values.mean() == pytest.approx(nats.sum() / tokens.sum())
    ours = two_way([values]).interval
    reference = ratio_interval(np.stack([nats, tokens], axis=1), RowValues([]))
    assert ours is not None
    assert reference is not None
    assert (ours.low, ours.high) == pytest.approx((reference.low, reference.high), abs=0.01)
    assert ours.high - ours.low == pytest.approx(reference.high - reference.low, rel=0.1)


def test_an_example_that_one_model_could_not_read_counts_for_none() -> None:
    frontier = measure(made_rows({(8.0, 0): [1, None, 0], (INF, 0): [1, 0, 1]}))
    assert (frontier.n, frontier.left_out) == (2, 1)
    assert [point.quality.value for point in frontier.points] == [1, 0.5]


def test_a_failed_cell_is_named_and_the_others_are_measured() -> None:
    rows = pd.concat([made_rows({**EIGHT, (INF, 0): [1, 1, 1, 1]}), failed_rows(0.01, 0, "epsilon cannot be reached")])
    frontier = measure(rows)
    assert [point.target for point in frontier.points] == [INF, 8]
    assert frontier.failures == {"eps0.01-seed0": "epsilon cannot be reached"}


def test_only_failures_leave_no_point() -> None:
    frontier = measure(failed_rows(8, 0, "no"))
    assert (frontier.points, frontier.n, frontier.failures) == ((), 0, {"eps8-seed0": "no"})


def test_without_plain_runs_nothing_is_known_of_the_loss() -> None:
    frontier = measure(made_rows(EIGHT))
    assert frontier.plain is None
    assert frontier.points[0].lost is None


def test_models_without_a_common_example_cannot_be_compared() -> None:
    rows = made_rows({(8.0, 0): [1, None], (INF, 0): [None, 1]})
    with pytest.raises(AuditError, match="no held-out example was scored by every model"):
        measure(rows)


def test_rows_survive_the_file(tmp_path: Path) -> None:
    rows = pd.concat([made_rows({**EIGHT, **PLAIN}), failed_rows(1, 0, "no")], ignore_index=True)
    write_frontier(tmp_path, rows)
    pd.testing.assert_frame_equal(read_frontier(tmp_path), rows)
    assert measure(read_frontier(tmp_path / FILE_NAME)) == measure(rows)
    only_failures = checked(failed_rows(1, 0, "no"))
    write_frontier(tmp_path, only_failures)
    pd.testing.assert_frame_equal(read_frontier(tmp_path), only_failures)


def test_what_is_no_frontier_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"frontier.parquet: not the rows of a frontier .*`assay frontier`"):
        read_frontier(tmp_path)
    (tmp_path / FILE_NAME).write_text("no parquet")
    with pytest.raises(UsageError, match="not the rows of a frontier"):
        read_frontier(tmp_path)
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / FILE_NAME)
    with pytest.raises(UsageError, match="not the rows of a frontier") as raised:
        read_frontier(tmp_path)
    assert "\n" not in str(raised.value)
