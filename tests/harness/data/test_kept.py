"""A file is read once by a process, and never taken for another: what changes it is seen, digests name the rows."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from harness.data import datasets, kept
from harness.data.datasets import Dataset, DataSource, forget, frame_digest, load_dataset
from harness.data.kept import Kept, file_key
from harness.data.schemas import LabelledTexts, Texts
from harness.data.tables import Table, read_table
from harness.errors import DataError

READ = "harness.data.datasets.read_table"


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Files as they are read; one counts as left alone at once, and nothing is kept yet."""
    seen: list[Path] = []

    def read(path: Path, kind: str, wanted: frozenset[str], **how: Any) -> Table:
        seen.append(path)
        return read_table(path, kind, wanted, **how)

    monkeypatch.setattr(READ, read)
    monkeypatch.setattr(kept, "SETTLED", -1.0)
    monkeypatch.setattr(datasets, "_KEPT", Kept(datasets._Whole.bytes))
    monkeypatch.setattr(datasets, "_READ", Kept(datasets._Columns.bytes))
    return seen


def written(path: Path, texts: list[str], label: str = "pos") -> DataSource:
    pd.DataFrame({"text": texts, "label": label}).to_csv(path, index=False)
    return DataSource(source=str(path))


def texts(dataset: Dataset) -> list[str]:
    return dataset.frame["text"].tolist()


def test_slices_of_one_file_are_cut_of_one_reading(tmp_path: Path, reads: list[Path]) -> None:
    source = written(tmp_path / "a.csv", ["c", "a", "b", "a"])
    more: list[dict[str, Any]] = [
        {},
        {"stop": 2},
        {"start": 1, "stop": 3},
        {"shuffle": 0},
        {"shuffle": 1, "start": 2},
        {"label_map": {"pos": "x"}},
    ]
    sources = [source.model_copy(update=each) for each in more]
    first = [load_dataset(each, LabelledTexts) for each in sources]
    assert len(reads) == 1
    for each, found in zip(sources, first, strict=True):
        forget()
        alone = load_dataset(each, LabelledTexts)
        pd.testing.assert_frame_equal(found.frame, alone.frame)
        assert (found.digest, found.seen, found.source) == (alone.digest, alone.seen, each)
    assert len(reads) == 1 + len(sources)


def test_what_reads_it_otherwise_makes_it_of_the_same_reading(tmp_path: Path, reads: list[Path]) -> None:
    source = written(tmp_path / "a.csv", ["c", "a", "a"])
    assert len(load_dataset(source, LabelledTexts)) == 3
    assert len(load_dataset(source.model_copy(update={"distinct": "text"}), LabelledTexts)) == 2
    assert list(load_dataset(source, Texts).frame.columns) == ["text"]
    assert texts(load_dataset(source.model_copy(update={"columns": {"text": "label"}}), Texts)) == ["pos"] * 3
    assert len(reads) == 1


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl"])
def test_columns_that_nobody_read_are_read_when_they_are_wanted(tmp_path: Path, reads: list[Path], kind: str) -> None:
    frame, path = pd.DataFrame({"text": ["c", "a"], "label": ["pos", "neg"]}), tmp_path / f"a.{kind}"
    if kind == "jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_csv(path, index=False, sep="\t" if kind == "tsv" else ",")
    source = DataSource(source=str(path))
    assert texts(load_dataset(source, Texts)) == ["c", "a"]
    both = load_dataset(source, LabelledTexts)
    assert both.frame["label"].tolist() == ["pos", "neg"]
    assert len(reads) == 2
    forget()
    alone = load_dataset(source, LabelledTexts)
    pd.testing.assert_frame_equal(both.frame, alone.frame)
    assert (both.digest, both.seen) == (alone.digest, alone.seen)
    assert texts(load_dataset(source, Texts)) == ["c", "a"]
    assert len(reads) == 3


def test_a_column_that_a_source_maps_for_others_is_read_with_a_csv_alone(tmp_path: Path, reads: list[Path]) -> None:
    mapped = {"columns": {"text": "t", "label": "y"}}
    (tmp_path / "a.csv").write_text("t,y\nc,pos\n")
    for schema in (Texts, LabelledTexts):
        load_dataset(DataSource(source=str(tmp_path / "a.csv"), **mapped), schema)
    assert len(reads) == 1
    (tmp_path / "a.jsonl").write_text('{"t": "c", "y": ["no text"]}\n')
    assert texts(load_dataset(DataSource(source=str(tmp_path / "a.jsonl"), **mapped), Texts)) == ["c"]
    with pytest.raises(DataError, match="column 'y'"):
        load_dataset(DataSource(source=str(tmp_path / "a.jsonl"), **mapped), LabelledTexts)


def test_labels_of_repeats_are_seen(tmp_path: Path, reads: list[Path]) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,label\na,pos\na,neg\n")
    source = DataSource(source=str(path), distinct="text")
    assert [load_dataset(source, LabelledTexts).seen for _ in range(2)] == [{"pos", "neg"}] * 2
    assert len(reads) == 1


def test_who_changes_what_was_given_changes_it_for_nobody_else(tmp_path: Path, reads: list[Path]) -> None:
    source = written(tmp_path / "a.csv", ["a", "b"])
    frame = load_dataset(source, LabelledTexts).frame
    frame.loc[0, "text"] = "changed"
    again = load_dataset(source, LabelledTexts)
    assert texts(again) == ["a", "b"]
    assert again.digest == frame_digest(again.frame)


@pytest.mark.parametrize("how", ["written", "replaced", "time put back", "linked elsewhere"])
def test_a_file_that_changed_is_read_again(tmp_path: Path, reads: list[Path], how: str) -> None:
    path = tmp_path / "a.csv"
    source = written(path, ["a", "b"])
    if how == "linked elsewhere":
        path.rename(tmp_path / "first.csv")
        path.symlink_to(tmp_path / "first.csv")
    before = load_dataset(source, LabelledTexts)
    old = path.stat()
    if how in ("written", "time put back"):
        path.write_text(path.read_text().replace("\nb", "\nc"))
    else:
        written(tmp_path / "b.csv", ["a", "c"])
    if how == "replaced":
        (tmp_path / "b.csv").replace(path)
    if how == "linked elsewhere":
        path.unlink()
        path.symlink_to(tmp_path / "b.csv")
    os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns))  # as who hides a change would
    after = load_dataset(source, LabelledTexts)
    assert (texts(before), texts(after)) == (["a", "b"], ["a", "c"])
    assert after.digest == frame_digest(after.frame) != before.digest
    assert len(reads) == 2


def test_one_that_changes_while_it_is_read_is_not_kept(
    tmp_path: Path, reads: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.csv"
    source = written(path, ["a", "b"])

    def read_then_changed(path: Path, kind: str, wanted: frozenset[str], **how: Any) -> Table:
        found = read_table(path, kind, wanted, **how)
        path.write_text("text,label\nc,pos\n")
        return found

    monkeypatch.setattr(READ, read_then_changed)
    assert texts(load_dataset(source, LabelledTexts)) == ["a", "b"]
    monkeypatch.setattr(READ, read_table)
    assert texts(load_dataset(source, LabelledTexts)) == ["c"]


def test_one_written_just_now_has_no_key(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("x")
    assert file_key(path) is None
    os.utime(path, (1, 1))  # the time of its entry tells
    assert file_key(path) is None
    assert file_key(tmp_path) is None
    assert file_key(tmp_path / "nowhere") is None


def test_the_least_recently_used_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "SETTLED", -1.0)
    path = tmp_path / "a"
    path.write_text("x")
    made: list[str] = []
    store: Kept[str] = Kept(len, most=3)

    def get(use: str) -> str:
        return store.get(path, use, lambda: made.append(use) or use)  # type: ignore[func-returns-value]

    for use in ("a", "b", "c", "a", "d", "a", "b", "four", "four"):
        assert get(use) == use
    assert made == ["a", "b", "c", "d", "b", "four", "four"]
