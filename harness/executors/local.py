"""Runs cases in this process, one chunk after another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from harness.case import Case
from harness.errors import AssayError, AuditError
from harness.probe import Probe, RowDict, error_row
from harness.scorer.api import Scorer


class LocalExecutor:
    """One process. A case whose probe crashes becomes an error row with the reason; the others carry on."""

    def run(self, probe: Probe[Any], scorer: Scorer, cases: Sequence[Case]) -> Iterator[list[RowDict]]:
        """One list of rows per chunk of `probe.chunk` cases."""
        for start in range(0, len(cases), probe.chunk):
            chunk = cases[start : start + probe.chunk]
            yield _complete(probe, chunk, _isolated(probe, scorer, chunk))


def _isolated(probe: Probe[Any], scorer: Scorer, chunk: Sequence[Case]) -> list[RowDict]:
    try:
        return list(probe.run(scorer, chunk))
    except (AssayError, OSError):  # not the fault of a case: the audit has to stop
        raise
    except Exception as error:  # whatever a probe raises is a finding about its case, not the end of the audit
        if len(chunk) == 1:
            return [error_row(chunk[0], f"{type(error).__name__}: {error}")]
        return [row for case in chunk for row in _isolated(probe, scorer, [case])]


def _complete(probe: Probe[Any], chunk: Sequence[Case], rows: list[RowDict]) -> list[RowDict]:
    """`rows`, checked to hold exactly one row per case: nothing may vanish."""
    got = [row["case_id"] for row in rows]
    wanted = {case.id for case in chunk}
    if len(got) != len(set(got)) or set(got) != wanted:
        raise AuditError(
            f"{probe.name}: returned {len(got)} rows for {len(wanted)} cases; this is a fault of the probe"
        )
    return rows
