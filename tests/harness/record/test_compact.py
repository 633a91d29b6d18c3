"""Many parts become one file: no row is lost or read twice, whatever kills it and whoever reads meanwhile."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from pandera.typing import Series

from harness.api.case import Case
from harness.api.columns import list_column
from harness.api.probe import ProbeRow, error_row
from harness.record import rows as store_module
from harness.record.rows import RowStore, compact, count_rows, read_cases, read_rows, row_parts, rows_folder

PROBE = "suite/probe"


class Row(ProbeRow):
    score: Series[int]
    shares: Series[object] = list_column("shares", of="double")


def row(number: int) -> dict[str, Any]:
    return {"case_id": f"{number:03d}", "status": "ok", "error": None, "score": number, "shares": [number / 2]}


def filled(audit: Path, parts: int = 12) -> RowStore:
    store = RowStore(audit, PROBE, Row)
    for part in range(parts):
        last = error_row(Case(f"e{part:02d}", {}), "broke")
        store.append([row(99 - part), row(part), last])
    return store


@pytest.fixture(autouse=True)
def _small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "_GROUP", 5)


def test_the_same_rows_in_one_file_and_writing_goes_on(tmp_path: Path) -> None:
    store = filled(tmp_path)
    before = store.read()
    schema = pq.read_schema(row_parts(tmp_path, PROBE)[0])
    compact(tmp_path, PROBE)
    (part,) = row_parts(tmp_path, PROBE)
    assert [*part.parent.iterdir()] == [part]
    assert pq.read_schema(part).equals(schema, check_metadata=True)
    assert [pq.ParquetFile(part).metadata.row_group(group).num_rows for group in range(8)] == [*[5] * 7, 1]
    pd.testing.assert_frame_equal(store.read(), before)
    assert read_cases(tmp_path, PROBE, ["005", "e11"])["case_id"].tolist() == ["005", "e11"]
    store.append([row(500)])
    assert store.read()["case_id"].tolist() == [*before["case_id"], "500"]
    RowStore(tmp_path, PROBE, Row).append([row(501)])
    assert store.read()["case_id"].tolist() == [*before["case_id"], "500", "501"]


class Killed(BaseException):
    """Stands in for kill -9: nothing that catches errors catches it."""


@pytest.mark.parametrize("step", range(14))
def test_killed_at_any_step_nothing_is_lost_and_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Steps: the new file is written, it is renamed, each of eleven parts goes, all is done."""
    store = filled(tmp_path)
    before = store.read()
    count = 0

    def counted(act: Any) -> Any:
        def run(*args: Any, **more: Any) -> Any:
            nonlocal count
            if count == step:
                raise Killed
            count += 1
            return act(*args, **more)

        return run

    monkeypatch.setattr(Path, "replace", counted(Path.replace))
    monkeypatch.setattr(Path, "unlink", counted(Path.unlink))
    if step < 12:
        with pytest.raises(Killed):
            compact(tmp_path, PROBE)
    else:
        compact(tmp_path, PROBE)
    monkeypatch.undo()
    pd.testing.assert_frame_equal(store.read(), before)
    assert count_rows(tmp_path, PROBE) == len(before)
    assert store.done() == set(before["case_id"])
    store.append([row(500)])
    compact(tmp_path, PROBE)
    assert read_rows(tmp_path, PROBE)["case_id"].tolist() == [*before["case_id"], "500"]
    assert len(row_parts(tmp_path, PROBE)) <= 2


def test_who_reads_meanwhile_begins_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = filled(tmp_path).read()
    plain, seen = store_module._read_part, []

    def read(path: Path, columns: list[str] | None) -> pd.DataFrame:
        seen.append(path.name)
        if len(seen) == 3:
            compact(tmp_path, PROBE)
        return plain(path, columns)

    monkeypatch.setattr(store_module, "_read_part", read)
    pd.testing.assert_frame_equal(read_rows(tmp_path, PROBE), before)
    assert seen == ["part-000000.parquet", "part-000001.parquet", "part-000002.parquet", "part-000000.parquet"]


def test_a_few_parts_stay(tmp_path: Path) -> None:
    filled(tmp_path, parts=8)
    compact(tmp_path, PROBE)
    assert len(row_parts(tmp_path, PROBE)) == 8


def test_parts_of_an_older_version_and_damaged_ones_stay(tmp_path: Path) -> None:
    filled(tmp_path)
    old = pd.DataFrame([{**row(200), "shares": "[0.5]"}])
    old.to_parquet(rows_folder(tmp_path, PROBE) / "part-000012.parquet", index=False)
    compact(tmp_path, PROBE)
    assert len(row_parts(tmp_path, PROBE)) == 13
    assert len(read_rows(tmp_path, PROBE)) == 37
    row_parts(tmp_path, PROBE)[-1].write_bytes(b"PAR1")
    compact(tmp_path, PROBE)
    assert len(row_parts(tmp_path, PROBE)) == 13


def test_a_full_disk_leaves_the_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = filled(tmp_path)
    before = store.read()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    compact(tmp_path, PROBE)
    monkeypatch.undo()
    assert len(list(rows_folder(tmp_path, PROBE).iterdir())) == 12
    pd.testing.assert_frame_equal(store.read(), before)
