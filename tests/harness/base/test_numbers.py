from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.base import numbers

FINITE = st.floats(-1e300, 1e300)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "missing"),
        (0.0, "0"),
        (0.312, "0.3120"),
        (-0.312, "-0.3120"),
        (1.0, "1.000"),
        (0.0213, "0.0213"),
        (0.00021, "0.000210"),
        (23.41, "23.41"),
        (41234.5, "41234"),
        (12345678.0, "1.235e+07"),
        (0.0000123, "1.230e-05"),
    ],
)
def test_numbers_are_written_for_people(value: float | None, text: str) -> None:
    assert numbers.number(value) == text


@given(FINITE)
def test_a_number_reads_as_what_it_is(value: float) -> None:
    assert math.isclose(float(numbers.number(value)), value, rel_tol=6e-3)


@given(FINITE, FINITE)
def test_telling_digits_keep_the_order(value: float, limit: float) -> None:
    shown = float(numbers.number(value, numbers.telling_digits(value, limit)))
    assert (shown < limit, shown > limit) == (value < limit, value > limit)


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (None, None, "none"),
        (0.1, 0.2, "[0.1000, 0.2000]"),
        (None, 0.2, "at most 0.2000"),
        (2.0, None, "at least 2.000"),
    ],
)
def test_intervals(low: float | None, high: float | None, text: str) -> None:
    assert numbers.interval(low, high) == text


def test_bounds_and_percentages_have_no_needless_digits() -> None:
    assert (numbers.bound(0.35), numbers.bound(10.0), numbers.bound(1 / 3)) == ("0.35", "10", "0.333333333333")
    assert (numbers.percent(0.95), numbers.percent(0.999)) == ("95 %", "99.9 %")


@pytest.mark.parametrize(
    ("low", "high", "ends"),
    [
        (24.0, 1234.0, (0.0, 1355.0)),  # what cannot be negative has no axis that begins below 0
        (1000.0, 1100.0, (990.0, 1110.0)),
        (-3.0, -1.0, (-3.2, -0.8)),
        (-30.0, -1.0, (-32.9, 0.0)),
        (-1.0, 1.0, (-1.2, 1.2)),
        (4.0, 4.0, (2.0, 6.0)),
        (0.0, 0.0, (0.0, 0.0)),
    ],
)
def test_an_axis_crosses_nothing_only_where_what_is_drawn_does(
    low: float, high: float, ends: tuple[float, float]
) -> None:
    assert numbers.padded(low, high, 0.1) == pytest.approx(ends)
