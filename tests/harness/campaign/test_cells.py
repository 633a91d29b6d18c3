from __future__ import annotations

import pytest

from harness.api.metrics import Better, Metric
from harness.campaign.cells import Failure, Work, each_cell
from harness.campaign.changes import change
from harness.errors import AssayError
from harness.gate.verdict import Comparison


def doubled(number: int) -> tuple[int, Work]:
    if number == 2:
        raise ValueError("no\ntwo")
    if number == 3:
        raise AssayError("three is refused")
    return 2 * number, Work(f"made {2 * number}", is_new=number != 1)


def test_a_cell_that_fails_costs_no_other_and_its_reason_is_one_line() -> None:
    said: list[str] = []
    found = list(each_cell([1, 2, 3, 4], str, doubled, said.append))
    assert found == [(1, 2), (2, Failure("ValueError: no two")), (3, Failure("three is refused")), (4, 8)]
    assert said[:4] == ["1 of 4: 1", "1 of 4: 1: made 2", "2 of 4: 2", "2 of 4: 2: failed: ValueError: no two"]
    assert "left" not in "".join(said), "nothing new was made before the last cell, so no time is known"


def test_time_left_is_told_once_a_new_cell_was_made() -> None:
    said: list[str] = []
    list(each_cell([4, 5], str, doubled, said.append))
    assert said[2].startswith("2 of 2: 5, about ")


def test_ctrl_c_in_a_cell_ends_the_work() -> None:
    def stop(_: int) -> tuple[int, Work]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(each_cell([1], str, stop))


@pytest.mark.parametrize(
    ("better", "expected"), [(Better.HIGHER, (-0.3, 0.1)), (Better.LOWER, (-0.1, 0.3)), (Better.NEITHER, (-0.1, 0.3))]
)
def test_the_interval_of_a_difference_follows_the_metrics_own_direction(
    better: Better, expected: tuple[float, float]
) -> None:
    """A regression of -0.1 to 0.3 is a gain of -0.3 to 0.1; without a direction, lower was taken as better."""
    metric = Metric(key="a/b/c", value=0.5, n=9, better=better)
    made = change(
        metric, Comparison(metric="a/b/c", candidate=0.5, baseline=0.4, difference=0.1, low=-0.1, high=0.3, n=9)
    )
    assert (made.low, made.high) == pytest.approx(expected)
