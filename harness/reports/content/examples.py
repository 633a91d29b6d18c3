"""A few rows of each probe for a report: those that flipped to the worse, and the first by case id."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from harness.gate.verdict import Verdict
from harness.record.rows import read_cases, read_rows
from harness.reports.content.api import Example, Level
from harness.reports.content.disclosure import show_row

PER_PROBE = 3


def examples(
    audit: Path, probes: Iterable[str], verdict: Verdict, level: Level, counts: Counter[str]
) -> Iterator[Example]:
    """Up to three rows of either kind of each probe, as `level` lets them be seen.

    The first rows are the first by case id, whatever came of them: neither which part of the rows was written first nor
    what the model did picks them.
    """
    for probe in probes:
        ids = sorted(read_rows(audit, probe, ["case_id"])["case_id"])
        worse = _worse(verdict, probe)
        shown = [*worse, *(name for name in ids[:PER_PROBE] if name not in worse)]
        rows = {str(row["case_id"]): row for row in read_cases(audit, probe, shown).to_dict("records")}
        for name in shown:
            if name in rows:
                yield show_row(probe, {str(key): value for key, value in rows[name].items()}, level, counts)


def _worse(verdict: Verdict, probe: str) -> list[str]:
    """Ids of the first cases of a probe that its baseline had right and the candidate has not."""
    ids = [
        name
        for item in verdict.gates
        if item.comparison is not None and item.comparison.flips is not None
        if item.comparison.metric.rpartition("/")[0] == probe
        for name in item.comparison.flips.worse_ids[:PER_PROBE]
    ]
    return list(dict.fromkeys(ids))[:PER_PROBE]
