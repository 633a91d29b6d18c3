from __future__ import annotations

import gzip
import json
from pathlib import Path

import pandas as pd
import pytest

from harness.data.datasets import DataSource, load_dataset
from harness.data.schemas import EMPTY, LabelledTexts, Texts
from harness.errors import DataError

ROWS = [{"text": f"text {i}", "label": i % 2} for i in range(10)]


def write(path: Path, kind: str) -> Path:
    frame = pd.DataFrame(ROWS)
    if kind == "csv":
        frame.to_csv(path, index=False)
    elif kind == "tsv":
        frame.to_csv(path, index=False, sep="\t")
    elif kind == "parquet":
        frame.to_parquet(path)
    else:
        lines = "\n".join(json.dumps(row) for row in ROWS)
        path.write_bytes(gzip.compress(lines.encode()) if path.suffix == ".gz" else lines.encode())
    return path


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.csv", "csv"),
        ("a.csv.gz", "csv"),
        ("a.tsv", "tsv"),
        ("a.jsonl", "jsonl"),
        ("a.jsonl.gz", "jsonl"),
        ("a.parquet", "parquet"),
    ],
)
def test_every_format_gives_the_same_rows_and_digest(tmp_path: Path, name: str, kind: str) -> None:
    reference = load_dataset(DataSource(source=str(write(tmp_path / "r.jsonl", "jsonl"))), LabelledTexts)
    data = load_dataset(DataSource(source=str(write(tmp_path / name, kind))), LabelledTexts)
    assert data.frame["text"].tolist() == [row["text"] for row in ROWS]
    assert data.digest == reference.digest


def test_shuffle_then_slice_is_seeded_and_disjoint(tmp_path: Path) -> None:
    path = str(write(tmp_path / "a.csv", "csv"))
    first = load_dataset(DataSource(source=path, shuffle=3, stop=5), Texts)
    rest = load_dataset(DataSource(source=path, shuffle=3, start=5), Texts)
    again = load_dataset(DataSource(source=path, shuffle=3, stop=5), Texts)
    assert first.digest == again.digest != rest.digest
    assert {*first.frame["text"], *rest.frame["text"]} == {row["text"] for row in ROWS}


def test_columns_are_renamed_and_repeats_dropped(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("review,sentiment\ngood,pos\ngood,pos\nbad,neg\n")
    data = load_dataset(
        DataSource(source=str(path), columns={"text": "review", "label": "sentiment"}, distinct="text"), LabelledTexts
    )
    assert data.frame.to_dict("list") == {"text": ["good", "bad"], "label": ["pos", "neg"]}


def test_the_word_none_stays_a_text(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,label\nNone,NA\nnan,null\n")
    data = load_dataset(DataSource(source=str(path)), LabelledTexts)
    assert data.frame["text"].tolist() == ["None", "nan"]


def test_paragraphs_of_a_text_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfone\nline\r\n \t\n\n\n  two\t2  \n\n")
    assert load_dataset(DataSource(source=str(path)), Texts).frame["text"].tolist() == ["one\nline", "  two\t2  "]


@pytest.mark.parametrize(
    ("name", "content", "source", "why"),
    [
        ("a.csv", b"", {}, "the file is empty"),
        ("a.csv", b"text,label\n", {}, "no rows"),
        ("a.csv", b"body,label\nx,1\n", {}, "missing column 'text'.*'body'"),
        ("a.csv", b"review,label\nx,1\n", {"columns": {"text": "reveiw"}}, "did you mean 'review'"),
        ("a.csv", b"text,label\n\xff\xfe,1\n", {}, "not UTF-8"),
        ("a.csv", b"text,label\nx,1\n  ,0\n", {}, rf"row 2, column 'text': {EMPTY} \(value '  ', 1 in all\)"),
        ("a.csv", b"text,label\nx,\n", {}, rf"row 1, column 'label': {EMPTY} \(value '', 1 in all\)"),
        ("a.csv", b"text,pair,label\nx,y,1\nx,,1\n", {}, rf"row 2, column 'pair': {EMPTY}"),
        ("a.jsonl", b'{"text": null, "label": 1}\n', {}, rf"row 1, column 'text': {EMPTY}"),
        ("a.jsonl", b"{not json}\n", {}, "cannot be read as jsonl"),
        ("a.parquet", b"nope", {}, "cannot be read as parquet"),
        ("a.csv.gz", b"nope", {}, "its gzip is damaged"),
        ("a.xlsx", b"nope", {}, "unknown kind of file"),
        ("a.csv", b"text,label\nx,1\n", {"start": 5}, "no rows"),
    ],
)
def test_bad_data_is_one_sentence_naming_the_file(
    tmp_path: Path, name: str, content: bytes, source: dict[str, object], why: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=why) as caught:
        load_dataset(DataSource.model_validate({"source": str(path), **source}), LabelledTexts)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_missing_file() -> None:
    with pytest.raises(DataError, match=r"nowhere\.csv: no such file"):
        load_dataset(DataSource(source="nowhere.csv"), Texts)


def test_hub_names_go_to_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    asked: list[tuple[object, ...]] = []

    def fake(name: str, config: str | None, *, split: str, revision: str | None) -> datasets.Dataset:
        asked.append((name, config, split, revision))
        features = datasets.Features(
            {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])}
        )
        return datasets.Dataset.from_dict({"text": ["a", "b"], "label": [1, 0]}, features=features)

    monkeypatch.setattr(datasets, "load_dataset", fake)
    data = load_dataset(DataSource(source="stanfordnlp/sst2", split="validation", revision="v1"), LabelledTexts)
    assert asked == [("stanfordnlp/sst2", None, "validation", "v1")]
    assert data.frame["label"].tolist() == ["pos", "neg"]


def test_a_hub_that_is_away_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    def fake(*_: object, **__: object) -> None:
        raise ConnectionError("offline")

    monkeypatch.setattr(datasets, "load_dataset", fake)
    with pytest.raises(DataError, match=r"neither a local file nor a hub dataset.*ConnectionError: offline"):
        load_dataset(DataSource(source="some/name"), Texts)


def test_format_says_what_a_name_does_not(tmp_path: Path) -> None:
    (tmp_path / "LICENCE").write_text("First\n  paragraph.\n\nSecond one.\n")
    source = str(tmp_path / "LICENCE")
    assert load_dataset(DataSource(source=source, format="txt"), Texts).frame["text"].tolist() == [
        "First\n  paragraph.",
        "Second one.",
    ]
    for wrong in (DataSource(source=source), DataSource(source=source, format="pdf")):
        with pytest.raises(DataError, match=r"unknown kind of file; use one of csv"):
            load_dataset(wrong, Texts)


def test_a_file_without_a_row_is_called_empty(tmp_path: Path) -> None:
    (tmp_path / "none.jsonl").touch()
    with pytest.raises(DataError, match="the file is empty"):
        load_dataset(DataSource(source=str(tmp_path / "none.jsonl")), Texts)
