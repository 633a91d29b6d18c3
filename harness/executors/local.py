"""Runs cases in this process: as many in a call as fill its batches, as few as a crash may lose."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from harness.api.case import Case
from harness.api.job import Done, Job
from harness.api.probe import Probe, RowDict, error_row
from harness.api.scorer import Counts, Scorer
from harness.errors import AssayError, AuditError
from harness.executors.bench import Bench
from harness.executors.pace import Pace


class LocalExecutor:
    """One process."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    def run(self, job: Job) -> Iterator[Done]:
        """Rows as they come with the work since those before; one row per case."""
        probe, scorer = self._bench.probe(job), self._bench.scorer(job)
        before = self._bench.counts(job)
        for rows in in_parts(probe, scorer, job.cases):
            now = self._bench.counts(job)
            yield Done(rows, {role: counts - before.get(role, Counts()) for role, counts in now.items()})
            before = now


def in_parts(
    probe: Probe[Any], scorer: Scorer, cases: Sequence[Case], pace: Pace | None = None
) -> Iterator[list[RowDict]]:
    """Lists of rows, each worth at most about `pace.SECONDS` of work; one row per case.

    A case whose probe crashes becomes an error row with the reason; the others carry on.
    """
    pace = pace or Pace()
    waiting: list[RowDict] = []
    start = 0
    try:
        while start < len(cases):
            if waiting and pace.is_due_first:
                yield waiting
                waiting = []
                pace.written()
            chosen = cases[start : start + (probe.pool or pace.size)]
            start += len(chosen)
            pace.called()
            for row in _rows(probe, scorer, chosen):
                waiting.append(row)
                if probe.pool and pace.is_due:  # other probes give all rows of a call at its end
                    yield waiting
                    waiting = []
                    pace.written()
            pace.returned(len(chosen))
    except (AssayError, OSError, KeyboardInterrupt):
        if waiting:
            yield waiting  # the audit stops after that, with what is done
        raise
    if waiting:
        yield waiting


def _rows(probe: Probe[Any], scorer: Scorer, cases: Sequence[Case]) -> Iterator[RowDict]:
    """Exactly one row per case: what a crash of the probe leaves over runs in halves, down to the case that crashes."""
    left = {case.id: case for case in cases}
    try:
        yield from _checked(probe, probe.run(scorer, cases), left)
    except (AssayError, OSError):  # not the fault of a case: the audit has to stop
        raise
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:  # whatever a probe raises, sys.exit too, is a finding about its case
        if len(cases) == 1:
            yield {**error_row(cases[0], f"{type(error).__name__}: {error}"), **_of_case(probe, cases[0])}
            return
        rest = list(left.values())
        middle = (len(rest) + 1) // 2
        for half in (rest[:middle], rest[middle:]):
            if half:
                yield from _rows(probe, scorer, half)
        return
    if left:
        raise _at_fault(probe, f"gave no row for {len(left)} of {len(cases)} cases")


def _checked(probe: Probe[Any], rows: Iterable[RowDict], left: dict[str, Case]) -> Iterator[RowDict]:
    """The rows, each of which must belong to a case that has none yet; each says of what case."""
    for row in rows:
        case = left.pop(row["case_id"], None)
        if case is None:
            raise _at_fault(probe, f"gave a row for {row['case_id']!r}, which is no case or has one already")
        told = _of_case(probe, case)
        yield {**told, **row} if row.get("status") == "ok" else {**row, **told}  # an empty row says None of it


def _of_case(probe: Probe[Any], case: Case) -> RowDict:
    """Raises AuditError where the probe cannot say it: without it a row of an error cannot be written either."""
    try:
        return dict(probe.of_case(case))
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise _at_fault(probe, f"of_case gave nothing for {case.id} ({type(error).__name__}: {error})") from error


def _at_fault(probe: Probe[Any], what: str) -> AuditError:
    return AuditError(f"{probe.name}: {what}; this is a fault of the probe")
