"""A million rows of a classifier written, made one file and read, by the row store of an audit.

There is no peer that keeps an audit's rows; ours is held against the bounds that were set, and a part against the check
by pandera alone that every part went through before. Seconds are of wall-clock, on a machine whose load stands beside.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.report import Cell
from benchmarks.timing import alternate, seconds
from harness.api.probe import RowDict
from harness.record.row_check import RowCheck
from harness.record.rows import RowStore, compact, count_rows, read_cases, read_rows, row_parts
from suites.quality.classification.probe import ClassificationRow

PEERS = ("pyarrow", "pandera")
ROWS = 1_000_000
SMALL, LARGE = 64, 4096
"""Rows of a part: of a slow probe, and of one so fast that it could fill a million."""
WRITE, READ = 60.0, 5.0
"""Bounds, in seconds."""
PROBE = "quality/classification"


def run() -> list[Cell]:
    """Seconds to write, to make one file, to read, to find a row; milliseconds of the check of a part."""
    with tempfile.TemporaryDirectory() as scratch:
        return [_part(SMALL), _part(LARGE), *_million(Path(scratch), LARGE)]


def _part(size: int) -> Cell:
    """The check of one part, ours and by pandera alone."""
    (rows,) = _parts(size, size)
    ours, theirs = RowCheck(PROBE, ClassificationRow), RowCheck(PROBE, ClassificationRow)
    for check in (ours, theirs):
        check.table(rows)
    theirs._columns = None
    mine, other = alternate(lambda: ours.table(rows), lambda: theirs.table(rows), 21)
    return _cell(f"a part of {size} rows checked, beside pandera alone: ms", 1e3 * mine, 1e3 * other)


def _million(folder: Path, size: int) -> list[Cell]:
    store = RowStore(folder, PROBE, ClassificationRow)
    written = 0.0
    for rows in _parts(ROWS, size):
        start = time.perf_counter()
        store.append(rows)
        written += time.perf_counter() - start
    parts = len(row_parts(folder, PROBE))
    apart = seconds(lambda: read_rows(folder, PROBE))
    joined = seconds(lambda: compact(folder, PROBE))
    if count_rows(folder, PROBE) != ROWS or len(row_parts(folder, PROBE)) != 1:
        raise AssertionError("rows were lost")
    read = seconds(lambda: read_rows(folder, PROBE))
    found = seconds(lambda: read_cases(folder, PROBE, [f"{ROWS // 2:016x}"]))
    what = f"{ROWS:,} rows in {parts:,} parts of {size}"
    return [
        _cell(f"{what}, written and made one file: seconds", written + joined, WRITE, written=round(written, 2)),
        _cell(f"{what}, read before they are one file: seconds", apart, READ),
        _cell(f"{what}, read as one file: seconds", read, READ),
        _cell(f"{what}, one row found in one file: seconds", found, READ),
    ]


def _cell(case: str, ours: float, bound: float, **extra: float) -> Cell:
    load = {"load": round(os.getloadavg()[0], 1)}
    return Cell(case, ours, bound, 1.0, lower_is_better=True, extra={**extra, **load})


def _parts(rows: int, size: int) -> Iterator[list[RowDict]]:
    random = np.random.default_rng(1)
    for start in range(0, rows, size):
        likely = random.uniform(0, 1, size)
        yield [
            {
                "case_id": f"{start + at:016x}",
                "status": "ok",
                "error": None,
                "label": at % 2,
                "predicted": int(one >= 0.5),
                "probabilities": [1 - one, one],
                "nll": -float(np.log(one)),
                "truncated": 0,
            }
            for at, one in enumerate(likely.tolist()[: rows - start])
        ]
