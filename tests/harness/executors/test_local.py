"""The local executor: parts as rows come, one row per case, nothing lost with a crash."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import pytest
from pandera.typing import Series

from harness.api.case import Case
from harness.api.columns import column
from harness.api.probe import RowDict, error_row, excluded_row
from harness.api.scorer import Scorer
from harness.errors import AssayError, AuditError
from harness.executors.local import in_parts
from harness.executors.pace import SECONDS, Pace
from tests.harness.api.toy import Toy, ToyRow

CASES = [Case(f"c{number}", {"text": f"text {number}"}) for number in range(10)]


def row(case: Case) -> RowDict:
    return {"case_id": case.id, "status": "ok", "error": None, "predicted": 0}


class Streaming(Toy):
    """Gives rows one by one over all its cases, and notes how far it was asked to go."""

    pool = 100

    def __init__(self, acts: dict[str, BaseException] | None = None) -> None:
        super().__init__()
        self.acts = acts or {}
        self.runs: list[int] = []
        self.given = 0

    def run(self, scorer: Scorer, cases: Sequence[Case]) -> Iterator[RowDict]:
        self.runs.append(len(cases))
        for case in cases:
            if case.id in self.acts:
                raise self.acts[case.id]
            self.given += 1
            yield row(case)


class KindRow(ToyRow):
    """Rows that say what kind of case they are of."""

    kind: Series[str] = column("kind of the case", of_case=True)


class Kinds(Toy):
    """Says nothing of the kind itself; of every third case it fails, of every third there is nothing to measure."""

    Row = KindRow

    def run(self, scorer: Scorer, cases: Sequence[Case]) -> Iterator[RowDict]:
        for number, case in enumerate(cases):
            yield (row(case), error_row(case, "broke", ["kind"]), excluded_row(case, "none"))[number % 3]


def test_every_row_holds_what_follows_from_its_case() -> None:
    cases = [Case(f"c{number}", {"kind": f"kind {number}"}) for number in range(6)]
    found = [each for part in in_parts(Kinds(), None, cases) for each in part]  # type: ignore[arg-type]
    assert [each["kind"] for each in found] == [case.data["kind"] for case in cases]
    assert [each["status"] for each in found] == ["ok", "error", "excluded"] * 2


class Clock:
    """Stands still but where it is told to go on."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Timed(Toy):
    """Takes `each` seconds a case by a clock; gives the rows of a call at its end, or as they come."""

    def __init__(self, clock: Clock, each: float, pool: int | None = None) -> None:
        super().__init__()
        self.clock, self.each, self.pool = clock, each, pool  # type: ignore[misc]
        self.runs: list[int] = []

    def run(self, scorer: Scorer, cases: Sequence[Case]) -> Iterator[RowDict]:
        self.runs.append(len(cases))
        if self.pool is None:
            self.clock.now += self.each * len(cases)
        for case in cases:
            if self.pool is not None:
                self.clock.now += self.each
            yield row(case)


def timed(probe: Timed, cases: int) -> list[tuple[int, float]]:
    """Rows of each part, and when it came."""
    many = [Case(f"c{number}", {}) for number in range(cases)]
    found = in_parts(probe, None, many, Pace(probe.clock))  # type: ignore[arg-type]
    return [(len(part), probe.clock.now) for part in found]


def parts(probe: Toy) -> list[list[str]]:
    return [[one["case_id"] for one in part] for part in in_parts(probe, None, CASES)]  # type: ignore[arg-type]


def test_calls_grow_to_thousands_where_a_case_takes_no_time() -> None:
    probe = Timed(Clock(), 0.001)
    ((rows, when),) = timed(probe, 6000)
    assert (rows, round(when, 6)) == (6000, 6.0)
    assert probe.runs == [8, 64, 512, 4096, 1320]


def test_a_call_takes_about_as_long_as_a_crash_may_lose() -> None:
    probe = Timed(Clock(), 0.3)
    found = timed(probe, 300)
    assert probe.runs == [8, 64, 64, 64, 64, 36]  # 66 would fit; a power of two, so that a clock cuts alike
    assert [rows for rows, _ in found] == [8, 64, 64, 64, 64, 36]
    ends = [0.0, *(when for _, when in found)]
    assert max(after - before for before, after in pairwise(ends)) < SECONDS


def test_a_case_that_takes_longer_than_that_is_a_call_of_its_own() -> None:
    probe = Timed(Clock(), 100.0)
    assert [rows for rows, _ in timed(probe, 11)] == [8, 1, 1, 1]
    assert probe.runs == [8, 1, 1, 1]


def test_calls_grow_again_after_a_slow_one() -> None:
    """The first of a probe may search for something that all others use."""
    probe = Timed(Clock(), 100.0)
    many = [Case(f"c{number}", {}) for number in range(200)]
    found = in_parts(probe, None, many, Pace(probe.clock))  # type: ignore[arg-type]
    next(found)
    probe.each = 0.0
    assert sum(map(len, found)) == 192
    assert probe.runs == [8, 1, 8, 64, 119]


def test_a_pool_is_one_call_whose_rows_come_in_parts() -> None:
    probe = Timed(Clock(), 6.0, pool=100)
    assert timed(probe, 10) == [(4, 24.0), (4, 48.0), (2, 60.0)]
    assert probe.runs == [10]


def test_rows_of_several_short_calls_become_one_part() -> None:
    probe = Timed(Clock(), 0.01)
    assert [rows for rows, _ in timed(probe, 500)] == [500]
    assert probe.runs == [8, 64, 428]


def test_a_crash_in_a_pool_costs_its_own_case_only() -> None:
    probe = Streaming({"c5": ZeroDivisionError("told to")})
    rows = [one for part in in_parts(probe, None, CASES) for one in part]  # type: ignore[arg-type]
    assert sorted(one["case_id"] for one in rows) == sorted(case.id for case in CASES)
    (bad,) = [one for one in rows if one["status"] == "error"]
    assert (bad["case_id"], bad["error"]) == ("c5", "ZeroDivisionError: told to")
    assert probe.runs == [10, 3, 2, 1, 1, 1, 2]  # of the five left, halves until the crash is alone
    assert probe.given == 9  # what had a row before the crash is not run again


def test_a_crash_among_thousands_is_found_in_halves() -> None:
    probe = Streaming({"c2999": ZeroDivisionError("told to")})
    probe.pool = 4096  # type: ignore[misc]
    many = [Case(f"c{number}", {}) for number in range(4096)]
    rows = [one for part in in_parts(probe, None, many) for one in part]  # type: ignore[arg-type]
    assert [one["case_id"] for one in rows if one["status"] == "error"] == ["c2999"]
    assert len({one["case_id"] for one in rows}) == len(rows) == 4096
    assert len(probe.runs) < 2 * 12


@pytest.mark.parametrize("error", [AssayError("no device"), KeyboardInterrupt()])
def test_what_ends_the_audit_leaves_the_rows_so_far(error: BaseException) -> None:
    found = in_parts(Streaming({"c6": error}), None, CASES)  # type: ignore[arg-type]
    got: list[Any] = []
    with pytest.raises(type(error)):
        got.extend(one["case_id"] for part in found for one in part)
    assert got == ["c0", "c1", "c2", "c3", "c4", "c5"]


class Faulty(Toy):
    def __init__(self, ids: Iterable[str]) -> None:
        super().__init__()
        self.ids = list(ids)

    def run(self, scorer: Scorer, cases: Sequence[Case]) -> Iterator[RowDict]:
        return (row(Case(name, {})) for name in self.ids)


@pytest.mark.parametrize(
    ("ids", "why"),
    [
        (["c0", "c1", "c2"], "toy/share: gave no row for 5 of 8 cases; this is a fault of the probe"),
        (["c0", "c1", "c2", "c2"], "gave a row for 'c2', which is no case or has one already"),
        (["c0", "c1", "c2", "c9"], "gave a row for 'c9', which is no case or has one already"),
    ],
)
def test_a_row_that_is_missing_or_foreign_is_a_fault_of_the_probe(ids: list[str], why: str) -> None:
    with pytest.raises(AuditError, match=why):
        parts(Faulty(ids))


class Speechless(Toy):
    """Crashes in a case of which it cannot say either what every row holds."""

    def run(self, scorer: Scorer, cases: Sequence[Case]) -> Iterator[RowDict]:
        raise ZeroDivisionError("told to")

    def of_case(self, case: Case) -> RowDict:
        raise KeyError("role")


def test_a_case_whose_columns_the_probe_cannot_say_is_its_fault() -> None:
    with pytest.raises(AuditError, match=r"of_case gave nothing for c0 \(KeyError: 'role'\); this is a fault"):
        parts(Speechless())
