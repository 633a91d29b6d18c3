from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from harness.api.case import content_id, make_cases, sample_cases


def test_id_depends_on_content_only() -> None:
    assert content_id({"a": 1, "b": "é"}) == content_id({"b": "é", "a": 1})
    assert content_id({"a": 1}) != content_id({"a": 2})


def test_repeated_content_gets_distinct_ids() -> None:
    ids = [case.id for case in make_cases([{"text": "x"}, {"text": "y"}, {"text": "x"}])]
    assert len(set(ids)) == 3
    assert ids[2] == f"{ids[0]}-1"


@given(st.lists(st.integers(), unique=True, min_size=5, max_size=40), st.integers(0, 9), st.randoms())
def test_sample_does_not_depend_on_order(values: list[int], seed: int, random: object) -> None:
    cases = make_cases({"value": value} for value in values)
    shuffled = cases[::-1]
    chosen = {case.id for case in sample_cases(cases, 4, seed)}
    assert chosen == {case.id for case in sample_cases(shuffled, 4, seed)}
    assert len(chosen) == 4


def test_sample_keeps_the_given_order_and_differs_by_seed() -> None:
    cases = make_cases({"value": value} for value in range(200))
    one, two = sample_cases(cases, 50, 0), sample_cases(cases, 50, 1)
    assert [cases.index(case) for case in one] == sorted(cases.index(case) for case in one)
    assert one != two
    assert sample_cases(cases, None, 0) == cases
