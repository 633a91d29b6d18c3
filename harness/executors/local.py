"""Runs cases in this process, one chunk after another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from harness.api.case import Case
from harness.api.probe import Probe, RowDict, error_row
from harness.api.scorer import Scorer
from harness.errors import AssayError, AuditError


class LocalExecutor:
    """One process. A case whose probe crashes becomes an error row with the reason; the others carry on."""

    def run(self, probe: Probe[Any], scorer: Scorer, cases: Sequence[Case]) -> Iterator[list[RowDict]]:
        """Lists of at most `probe.chunk` rows, as they come; one row per case."""
        size = probe.pool or probe.chunk
        for start in range(0, len(cases), size):
            yield from _parts(probe, _rows(probe, scorer, cases[start : start + size]))


def _parts(probe: Probe[Any], rows: Iterator[RowDict]) -> Iterator[list[RowDict]]:
    part: list[RowDict] = []
    try:
        for row in rows:
            part.append(row)
            if len(part) == probe.chunk:
                yield part
                part = []
    except (AssayError, OSError, KeyboardInterrupt):
        if part:
            yield part  # the audit stops after that, with what is done
        raise
    if part:
        yield part


def _rows(probe: Probe[Any], scorer: Scorer, cases: Sequence[Case]) -> Iterator[RowDict]:
    """Exactly one row per case: what a crash of the probe leaves over runs case by case."""
    left = {case.id: case for case in cases}
    try:
        yield from _checked(probe, probe.run(scorer, cases), left)
    except (AssayError, OSError):  # not the fault of a case: the audit has to stop
        raise
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:  # whatever a probe raises, sys.exit too, is a finding about its case
        if len(cases) == 1:
            yield error_row(cases[0], f"{type(error).__name__}: {error}")
            return
        for case in list(left.values()):
            yield from _rows(probe, scorer, [case])
        return
    if left:
        raise _at_fault(probe, f"gave no row for {len(left)} of {len(cases)} cases")


def _checked(probe: Probe[Any], rows: Iterable[RowDict], left: dict[str, Case]) -> Iterator[RowDict]:
    """The rows, each of which must belong to a case that has none yet."""
    for row in rows:
        if left.pop(row["case_id"], None) is None:
            raise _at_fault(probe, f"gave a row for {row['case_id']!r}, which is no case or has one already")
        yield row


def _at_fault(probe: Probe[Any], what: str) -> AuditError:
    return AuditError(f"{probe.name}: {what}; this is a fault of the probe")
