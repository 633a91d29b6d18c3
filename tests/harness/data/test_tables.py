from __future__ import annotations

import gzip
import json
import os
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pandera.pandas as pa
import pyarrow
import pyarrow.parquet as pq
import pytest
from pandera.typing import Series

from harness.data.datasets import DataSource, load_dataset
from harness.data.schemas import LabelledTexts, PairedTexts, Texts
from harness.errors import DataError
from suites.adversarial.prompt.probe import PromptAnswers


def load(path: Path, schema: type[pa.DataFrameModel] = LabelledTexts, **source: Any) -> dict[str, list[object]]:
    return load_dataset(DataSource(source=str(path), **source), schema).frame.to_dict("list")  # type: ignore[return-value]


ANSWERS = ["7", "2.5", "007", "1e3", "7.0", "-0", "12345678901234567890123", "True", "NA", "1_000", " x "]


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.tsv", "a.jsonl", "a.parquet"])
def test_answers_stay_what_they_are_in_every_format(tmp_path: Path, name: str) -> None:
    """pandas-dev/pandas#15203 is one of many reports of such guesses."""
    path = tmp_path / name
    rows = [{"prompt": f"p{number}", "answer": answer} for number, answer in enumerate(ANSWERS)]
    frame = pd.DataFrame(rows)
    if ".csv" in name:
        frame.to_csv(path, index=False)
    elif name == "a.tsv":
        path.write_text("prompt\tanswer\n" + "".join(f"{row['prompt']}\t{row['answer']}\n" for row in rows))
    elif name == "a.jsonl":
        path.write_text("\n".join(map(json.dumps, rows)))
    else:
        frame.to_parquet(path)
    assert load(path, PromptAnswers)["answer"] == ANSWERS


def test_numbers_of_json_keep_the_form_they_are_written_in(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    numbers = ["7", "2.50", "1e-7", "12345678901234567890", "-0.0"]
    path.write_text("".join(f'{{"text": {number}, "label": true, "date": 20240101}}\n' for number in numbers))
    assert load(path) == {"text": numbers, "label": ["true"] * 5}


def test_typed_columns_become_text_in_one_way(tmp_path: Path) -> None:
    columns: dict[str, Any] = {
        "int": pyarrow.array([7, -1], pyarrow.int64()),
        "float": pyarrow.array([7.0, 2.5]),
        "float32": pyarrow.array([0.1, 1e-05], pyarrow.float32()),
        "bool": pyarrow.array([True, False]),
        "date": pyarrow.array([date(2024, 1, 2), date(1999, 12, 31)]),
        "time": pyarrow.array([datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC), datetime(1999, 1, 1, tzinfo=UTC)]),
        "decimal": pyarrow.array([Decimal("1.50"), Decimal("2.00")]),
        "kinds": pyarrow.array(["x", "y"]).dictionary_encode(),
    }
    expected = {
        "int": ["7", "-1"],
        "float": ["7.0", "2.5"],
        "float32": ["0.1", "1e-05"],
        "bool": ["true", "false"],
        "date": ["2024-01-02", "1999-12-31"],
        "time": ["2024-01-02T03:04:05+00:00", "1999-01-01T00:00:00+00:00"],
        "decimal": ["1.50", "2.00"],
        "kinds": ["x", "y"],
    }
    pq.write_table(pyarrow.table(columns), tmp_path / "a.parquet")
    assert {name: load(tmp_path / "a.parquet", Texts, columns={"text": name})["text"] for name in columns} == expected


@pytest.mark.parametrize(
    "array",
    [
        pyarrow.array(["a", None]),
        pyarrow.array([1, None], pyarrow.int64()),
        pyarrow.array([1.0, None]),
        pyarrow.array([1.0, float("nan")]),
        pyarrow.array([True, None]),
        pyarrow.array([None, None]),
        pyarrow.array(["a", None]).dictionary_encode(),
    ],
)
def test_missing_is_missing_and_never_a_word(tmp_path: Path, array: Any) -> None:
    pq.write_table(pyarrow.table({"text": array}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"row [12], column 'text': is empty"):
        load(tmp_path / "a.parquet", Texts)


def test_a_key_that_a_line_lacks_is_missing_there(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "a", "pair": "b"}\n\n{"text": "c"}\n')
    with pytest.raises(DataError, match="row 2, column 'pair': is empty"):
        load(tmp_path / "a.jsonl", PairedTexts)
    (tmp_path / "b.jsonl").write_text('{"text": "a"}\n{"text": "c", "pair": "b"}\n')
    with pytest.raises(DataError, match="row 1, column 'pair': is empty"):
        load(tmp_path / "b.jsonl", PairedTexts)


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a.csv", b"text,label\na,1\nb,1,2\n", "line 3: 3 fields, the header has 2; quote a field"),
        ("a.csv", b"text,label\na,1,x\nb,2,y\n", "line 2: 3 fields, the header has 2"),
        ("a.csv", b"text,label\na\n", "line 2: 1 field, the header has 2"),
        ("a.csv", b'text,label\n"a\n\nb",1\nc\n', "line 5: 1 field"),
        ("a.csv", b'text,label\n"a,1\nb,1\n', "line 2: cannot be read as csv .a quote is never closed"),
        ("a.csv", b'text,label\n"a"b,1\n', "line 2: cannot be read as csv"),
        ("a.csv", b"text,label,text\na,1,b\n", "line 1: the column 'text' is there twice"),
        ("a.csv", b"text,label\na,1\nb\0c,1\n", "line 3: holds a zero byte"),
        ("a.csv", "text,label\na,1\n".encode("utf-16"), "not UTF-8"),
        ("a.csv", "text,label\na,1\n".encode("utf-16-le"), "line 1: holds a zero byte"),
        ("a.csv", b"text,label\na,1\n" + b"\xe9t\xe9,1\n", "not UTF-8"),
        ("a.csv", b"text,label\na,1\nb,2\xe2\x82", "not UTF-8"),
        ("a.tsv", b"text\tlabel\na\t1\nb\t2\t3\n", "line 3: 3 fields, the header has 2; or say format: quoted-tsv"),
        ("a.tsv", b'text\tlabel\n"a ""b"""\t1\n', "line 2: a field is quoted as in csv; say format: quoted-tsv"),
        ("a.jsonl", b'{"text": "a", "label": NaN}\n', "line 1: cannot be read as jsonl .NaN is no JSON"),
        ("a.jsonl", b'{"text": "a", "label": -Infinity}\n', "line 1: .*-Infinity is no JSON"),
        ("a.jsonl", b'\n{"text": "a", "text": "b", "label": 1}\n', "line 2: .*the key 'text' is there twice"),
        ("a.jsonl", b'{"text": "a\\ud800", "label": 1}\n', "line 1: column 'text': holds half of a surrogate pair"),
        ("a.jsonl", b'{"text": "a\\u0000", "label": 1}\n', r"line 1: column 'text': holds the character U\+0000"),
        ("a.jsonl", b'{"text": ["a"], "label": 1}\n', "line 1: column 'text': holds a list"),
        ("a.jsonl", b'{"text": {"role": "user"}, "label": 1}\n', "line 1: column 'text': holds a structure"),
        ("a.jsonl", b'{"text": "a", "label": 1}\n["b", 2]\n', "line 2: .*a line must be an object"),
        ("a.jsonl", b'{"text": "a", "label": 1} {"text": "b", "label": 2}\n', "line 1: .*Extra data"),
        ("a.jsonl", b'{"text": ' + b"[" * 100_000, "line 1: .*nested too deep"),
        ("a.jsonl", b"[" * 100_000 + b"]" * 100_000, "line 1: .*nested too deep"),
        ("a.txt", b"a\0b\n", "line 1: holds a zero byte"),
    ],
)
def test_what_would_be_read_as_something_else_is_refused_with_its_line(
    tmp_path: Path, name: str, content: bytes, why: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=why) as caught:
        load(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_lists_and_chat_messages_are_refused_before_they_are_unpacked(tmp_path: Path) -> None:
    chat = [[{"role": "user", "content": "hi"}]]
    for name, column in (("list", [["a"]]), ("chat", chat), ("bytes", [b"a"])):
        pq.write_table(pyarrow.table({"text": column}), tmp_path / f"{name}.parquet")
        with pytest.raises(DataError, match=r"column 'text': holds .* where text is needed"):
            load(tmp_path / f"{name}.parquet", Texts)


def test_ordinary_quote_marks_of_a_tsv_swallow_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    texts = [f'"quote {number}' if number % 7 else f'"all" of {number} "it"' for number in range(5_945)]
    path.write_text("text\tlabel\n" + "".join(f"{text}\tx\n" for text in texts))
    assert load(path)["text"] == texts


def test_a_quoted_tsv_is_read_as_such_when_told(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    frame = pd.DataFrame({"text": ['a "b"', "tab\there", "two\nlines"], "label": ["x", "y", "z"]})
    frame.to_csv(path, sep="\t", index=False)
    assert load(path, format="quoted-tsv") == frame.to_dict("list")
    path.write_text('text\tlabel\n"a ""b"""\tx\n')
    assert load(path, format="tsv")["text"] == ['"a ""b"""']


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl"])
def test_byte_order_mark_and_every_line_end(tmp_path: Path, name: str, end: str) -> None:
    lines = {
        "a.csv": ["text,label", "é,1", "", "b,2"],
        "a.tsv": ["text\tlabel", "é\t1", "b\t2"],
        "a.jsonl": ['{"text": "é", "label": "1"}', '{"text": "b", "label": 2}'],
    }[name]
    (tmp_path / name).write_bytes(("\ufeff" + end.join(lines)).encode())
    assert load(tmp_path / name) == {"text": ["é", "b"], "label": ["1", "2"]}


def test_long_fields_and_unnamed_columns_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f",text,label,,\n0,{'x' * 200_000},1,,\n")
    assert load(tmp_path / "a.csv") == {"text": ["x" * 200_000], "label": ["1"]}


class Scored(Texts):
    score: Series[float] = pa.Field(coerce=True)
    count: Series[int] = pa.Field(coerce=True)
    good: Series[bool]


def test_a_schema_gets_the_numbers_that_it_asks_for(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,score,count,good\na,2.5,7,false\nb,1e3,-1,True\n")
    assert load(tmp_path / "a.csv", Scored) == {
        "text": ["a", "b"],
        "score": [2.5, 1000.0],
        "count": [7, -1],
        "good": [False, True],
    }
    (tmp_path / "b.csv").write_text("text,score,count,good\na,2.5,7,false\nb,many,-1,maybe\n")
    with pytest.raises(DataError, match=r"column 'score'|column 'good'"):
        load(tmp_path / "b.csv", Scored)


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ({"columns": {"txet": "text"}}, "columns: 'txet' is no column that is read; .*did you mean 'text'"),
        ({"columns": {"pairs": "label"}}, "columns: 'pairs' is no column that is read; .*did you mean 'pair'"),
        ({"columns": {"pair": "nowhere"}}, "no column 'nowhere'"),
        ({"distinct": "review"}, "distinct: no column 'review'; it has"),
        ({"label_map": {"2": "x"}}, "label_map: no label '2' in the data, which have '0', '1'"),
        ({"label_map": {"0": "x", "zero": "x"}}, "label_map: no label 'zero'"),
        ({"split": "train"}, "split belongs to data sets of the hub"),
        ({"config": "a"}, "config belongs to data sets of the hub"),
        ({"revision": "a"}, "revision belongs to data sets of the hub"),
        ({"start": 2}, "no rows"),
        ({"start": 10**30, "stop": 10**31}, "no rows"),
    ],
)
def test_a_setting_that_matches_nothing_is_an_error(tmp_path: Path, source: dict[str, Any], why: str) -> None:
    (tmp_path / "a.csv").write_text("text,label\na,0\nb,1\n")
    with pytest.raises(DataError, match=why):
        load(tmp_path / "a.csv", **source)


def test_two_columns_may_come_from_one_and_names_may_be_swapped(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\na,b\n")
    both = {"text": "text", "label": "text"}
    assert load(tmp_path / "a.csv", columns=both) == {"text": ["a"], "label": ["a"]}
    assert load(tmp_path / "a.csv", columns={"text": "label", "label": "text"}) == {"text": ["b"], "label": ["a"]}


def test_rows_are_numbered_as_in_the_file_whatever_is_dropped(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('text,label\na,0\na,0\nb,1\n" ",1\n')
    with pytest.raises(DataError, match="row 4, column 'text'"):
        load(tmp_path / "a.csv", distinct="text", start=1)


def gz(path: Path, *pieces: bytes) -> Path:
    with gzip.open(path, "wb", 1) as file:
        for piece in pieces:
            file.write(piece)
    return path


HEAD = b"text,label\n"
CAP = "if it can be trusted, raise every cap with ASSAY_LIMITS=0.02"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundredth of every cap, so that the tests are quick: 5 MiB unpacked, 10,000 rows, 160 KiB a record."""
    monkeypatch.setenv("ASSAY_LIMITS", "0.01")


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("name", "pieces", "why"),
    [
        ("a.csv.gz", [HEAD, *[b"x" * 2**20] * 40], "line 2: a record of more than"),
        ("a.csv.gz", [HEAD, *[b"a,1\n" * 1000] * 40], "more than 10,000 rows"),
        ("a.tsv.gz", [b"text\tlabel\n", *[b"a\t1\n" * 1000] * 40], "more than 10,000 rows"),
        ("a.jsonl.gz", [b'{"text": "a", "label": 1}\n' * 1000] * 40, "more than 10,000 rows"),
        ("a.txt.gz", [b"a\n\n" * 1000] * 40, "more than 10,000 rows"),
        ("a.txt.gz", [b"a\n" * 100_000] * 4, "a record of more than"),
        ("a.txt.gz", [b"\n" * 2**20], "more than 100,000 lines"),
        ("a.csv.gz", [HEAD, b"\n" * 2**20], "more than 100,000 lines"),
        (
            "a.csv.gz",
            [HEAD, b'"', *[b"a\n" * 1000] * 400],
            "line 2: a record of more .*a quote that is never closed",
        ),
        ("a.csv.gz", [HEAD, *[b"x" * 1000 + b",1\n"] * 9_000], "unpacks to more than 5 MiB"),
        ("a.csv.gz", [b"text,label," + b"," * 200], "202 columns|203 columns"),
        ("a.jsonl.gz", [b"{%s}\n" % b",".join(b'"k%d": 1' % at for at in range(200))], "more than 100 different keys"),
        ("a.csv", [b"text,label\n", *[("a" * 900 + "\U0001f600,1\n").encode()] * 5_000], "takes more than 5 MiB"),
    ],
)
def test_a_file_that_unpacks_beyond_the_caps_is_refused(
    tmp_path: Path, name: str, pieces: list[bytes], why: str
) -> None:
    path = tmp_path / name
    if name.endswith(".gz"):
        gz(path, *pieces)
    else:
        path.write_bytes(b"".join(pieces))
    with pytest.raises(DataError, match=why) as caught:
        load(path)
    assert CAP in str(caught.value)


def test_damaged_gzip_is_one_sentence(tmp_path: Path) -> None:
    whole = gzip.compress(HEAD + b"some text of a film,1\n" * 100)
    broken = {
        "cut.csv.gz": whole[:-20],
        "nothing.csv.gz": b"",
        "plain.csv.gz": HEAD,
        "check.csv.gz": whole[:-8] + b"\1" * 8,
        "garbage.csv.gz": whole + b"garbage",
        "name.csv.gz": b"\x1f\x8b\x08\x08\0\0\0\0\0\xff" + b"x" * 10**6,
    }
    for name, content in broken.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=rf"{name}: (its gzip is damaged|the file is empty)"):
            load(tmp_path / name)
    (tmp_path / "twice.csv.gz").write_bytes(gzip.compress(whole))
    with pytest.raises(DataError, match="not UTF-8"):
        load(tmp_path / "twice.csv.gz")


def test_members_of_a_gzip_are_read_as_one_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(HEAD + b"a,") + gzip.compress(b"") + gzip.compress(b"0\nb,1\n") + b"\0" * 100_000)
    assert load(path) == {"text": ["a", "b"], "label": ["0", "1"]}
    monkeypatch.setenv("ASSAY_LIMITS", "0.01")
    path.write_bytes(gzip.compress(b"") * 2_000)
    with pytest.raises(DataError, match="more than 1,000 members"):
        load(path)


def test_a_parquet_of_three_hundred_million_rows(tmp_path: Path) -> None:
    text = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 10**6, pyarrow.int32()), ["a"])
    batch = pyarrow.record_batch([text], names=["text"])
    with pq.ParquetWriter(tmp_path / "a.parquet", batch.schema) as writer:
        for _ in range(300):
            writer.write_batch(batch)
    assert (tmp_path / "a.parquet").stat().st_size < 2 * 2**20
    with pytest.raises(DataError, match="300,000,000 rows, over the cap of 1,000,000"):
        load(tmp_path / "a.parquet", Texts)


def test_one_long_text_repeated_a_million_times(tmp_path: Path) -> None:
    text = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 10**6, pyarrow.int32()), ["a" * 2**22])
    pq.write_table(pyarrow.table({"text": text}), tmp_path / "a.parquet", dictionary_pagesize_limit=2**30)
    with pytest.raises(DataError, match=r"its text takes more than 512 MiB; .*ASSAY_LIMITS=2"):
        load(tmp_path / "a.parquet", Texts)


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "dangling", "huge", "long", "zero", "home"])
def test_only_regular_files_of_a_sane_size_are_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "f.csv"
    whys = {
        "pipe": "a named pipe, not a file",
        "device": "a device, not a file",
        "folder": "a folder, not a file",
        "dangling": "a link to nothing",
        "huge": "over the cap of 512 MiB; .*ASSAY_LIMITS=2",
        "long": "cannot be read",
        "zero": "cannot be read",
        "home": "home directory",
    }
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case "folder":
            path.mkdir()
        case "dangling":
            path.symlink_to(tmp_path / "nowhere")
        case "huge":
            with path.open("wb") as file:
                file.truncate(300 * 2**30)
        case "long":
            path = tmp_path / ("x" * 300 + ".csv")
        case "zero":
            path = tmp_path / "a\0b.csv"
        case "home":
            path = Path("~nobody-of-that-name/a.csv")
    with pytest.raises(DataError, match=whys[kind]) as caught:
        load(path)
    assert "\n" not in str(caught.value)
