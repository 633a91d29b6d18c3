"""The local executor: parts as rows come, one row per case, nothing lost with a crash."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pytest

from harness.api.case import Case
from harness.api.probe import RowDict
from harness.api.scorer import Scorer
from harness.errors import AssayError, AuditError
from harness.executors.local import LocalExecutor
from tests.harness.api.toy import Toy

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


def parts(probe: Toy) -> list[list[str]]:
    return [[one["case_id"] for one in part] for part in LocalExecutor().run(probe, None, CASES)]  # type: ignore[arg-type]


def test_a_pool_is_one_call_whose_rows_come_in_parts() -> None:
    probe = Streaming()
    found = LocalExecutor().run(probe, None, CASES)  # type: ignore[arg-type]
    assert [one["case_id"] for one in next(found)] == ["c0", "c1", "c2", "c3"]
    assert probe.given == 4  # a part is durable before the next case is run
    assert [len(part) for part in found] == [4, 2]
    assert probe.runs == [10]


def test_a_crash_in_a_pool_costs_its_own_case_only() -> None:
    probe = Streaming({"c5": ZeroDivisionError("told to")})
    rows = [one for part in LocalExecutor().run(probe, None, CASES) for one in part]  # type: ignore[arg-type]
    assert sorted(one["case_id"] for one in rows) == sorted(case.id for case in CASES)
    (bad,) = [one for one in rows if one["status"] == "error"]
    assert (bad["case_id"], bad["error"]) == ("c5", "ZeroDivisionError: told to")
    assert probe.runs == [10, 1, 1, 1, 1, 1]
    assert probe.given == 9  # what had a row before the crash is not run again


@pytest.mark.parametrize("error", [AssayError("no device"), KeyboardInterrupt()])
def test_what_ends_the_audit_leaves_the_rows_so_far(error: BaseException) -> None:
    found = LocalExecutor().run(Streaming({"c6": error}), None, CASES)  # type: ignore[arg-type]
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
        (["c0", "c1", "c2"], "toy/share: gave no row for 1 of 4 cases; this is a fault of the probe"),
        (["c0", "c1", "c2", "c2"], "gave a row for 'c2', which is no case or has one already"),
        (["c0", "c1", "c2", "c9"], "gave a row for 'c9', which is no case or has one already"),
    ],
)
def test_a_row_that_is_missing_or_foreign_is_a_fault_of_the_probe(ids: list[str], why: str) -> None:
    with pytest.raises(AuditError, match=why):
        parts(Faulty(ids))
