"""A few rows of each probe for a report: those that flipped to the worse, and the first by case id."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pandas as pd

from harness.gate.verdict import Verdict
from harness.record.rows import row_parts
from harness.reports.content.api import Example, Level
from harness.reports.content.disclosure import show_row

PER_PROBE = 3


def examples(
    audit: Path, probes: Iterable[str], verdict: Verdict, level: Level, counts: Counter[str]
) -> Iterator[Example]:
    """Up to three rows of either kind of each probe, as `level` lets them be seen.

    The first rows are those of the first part, so that no more of a large audit is read; they are taken whatever came
    of them, so that none is picked to please.
    """
    for probe in probes:
        parts = row_parts(audit, probe)
        if not parts:
            continue
        worse = _worse(verdict, probe)
        frames = [pd.read_parquet(part, filters=[("case_id", "in", worse)]) for part in parts] if worse else []
        flipped = [frame for frame in frames if len(frame)]
        first = pd.read_parquet(parts[0]).sort_values("case_id").head(PER_PROBE)
        for frame in (*flipped, first[~first["case_id"].isin(worse)]):
            for row in frame.to_dict("records"):
                yield show_row(probe, {str(name): value for name, value in row.items()}, level, counts)


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
