from __future__ import annotations

import csv
import gzip
import io
import json
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from harness.data.streams import BATCH
from harness.errors import DataError, UsageError
from privacy.commands.scrub import scrub_command
from privacy.scrub.recognise import finder_for
from privacy.scrub.replace import Pseudonyms, by_kind, scrubbed
from privacy.scrub.run import Settings, read_mapping, restored, scrub
from privacy.scrub.terminal import terminal
from tests.privacy.scrub.labelled import CHINESE, ENGLISH, unmarked

FINDER = finder_for(names="off")
PIECES = st.sampled_from(
    [
        *("a@b.org", "ada@example.com", "13812345678", "4111 1111 1111 1111", "212-555-0142", "078-05-1120", "<EMAIL>"),
        *(
            "11010519491231002X",
            " ",
            "\n",
            ",",
            "1",
            "-",
            "x",
            "@",
            "身份证",
            "王小明先生",
            "<PHONE-012345678901>",
            "+",
        ),
    ]
)
TEXT = st.lists(PIECES, max_size=12).map("".join)


def ignore(kind: str, value: str) -> None:
    """Nobody counts."""


@given(TEXT)
def test_scrubbing_twice_is_scrubbing_once(text: str) -> None:
    once = scrubbed(text, FINDER, by_kind, ignore)
    assert FINDER.find(once) == []
    assert scrubbed(once, FINDER, by_kind, ignore) == once
    named = scrubbed(text, FINDER, Pseudonyms(b"key", remember=False), ignore)
    assert scrubbed(named, FINDER, Pseudonyms(b"other key", remember=False), ignore) == named


@given(st.lists(PIECES.filter(lambda piece: piece not in ("+", "-", "1")), max_size=12).map("".join))
def test_a_mapping_gives_the_text_back(text: str) -> None:
    """But for spellings of one value (with and without +, say), which share a pseudonym: here there are none."""
    names = Pseudonyms(b"key", remember=True)
    assert restored(scrubbed(text, FINDER, names, ignore), names.values) == text


def test_only_what_is_marked_goes() -> None:
    for marked in (*ENGLISH, *CHINESE):
        if "{NAME:" in marked or "4.2.1.7" in marked:
            continue
        text, values = unmarked(marked)
        expected = text
        for kind, value in sorted(values, key=lambda pair: -len(pair[1])):
            expected = expected.replace(value, f"<{kind}>", 1)
        assert scrubbed(text, FINDER, by_kind, ignore) == expected


def test_pseudonyms_are_the_same_for_one_value_and_key_however_it_is_written() -> None:
    names = Pseudonyms(b"key", remember=False)
    assert names("PHONE", "138 1234 5678") == names("PHONE", "13812345678") == names("PHONE", "１３８12345678")
    assert names("EMAIL", "Ada@Example.org") == names("EMAIL", "ada@example.org") != names("EMAIL", "bob@example.org")
    assert names("PHONE", "13812345678") != Pseudonyms(b"other", remember=False)("PHONE", "13812345678")
    assert names("PHONE", "1")[:7] == "<PHONE-"


ROWS: list[dict[str, str]] = [
    {"text": 'write, to "ada@example.org"\nnow', "label": "a@b.org", "note": "x"},
    {"text": "nothing", "label": "b", "note": "call 212-555-0142"},
    {"text": "手机13812345678", "label": "c", "note": ""},
]
CLEAN = ['write, to "<EMAIL>"\nnow', "nothing", "手机<PHONE>"]


def content(kind: str, rows: Sequence[Mapping[str, str]]) -> bytes:
    if kind == "csv":
        text = io.StringIO()
        writer = csv.DictWriter(text, ["text", "label", "note"], quoting=csv.QUOTE_ALL, lineterminator="\r\n")
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue().encode()
    lines = (json.dumps(dict(row) | {"n": 1}).replace('"n": 1', '"n":2.50,"big": 12345678901234567890') for row in rows)
    return ("\n".join(lines) + "\n").encode()


def read(path: Path) -> list[dict[str, str]]:
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode()
    if ".csv" in path.name:
        return list(csv.DictReader(io.StringIO(text, newline="")))
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.jsonl", "a.jsonl.gz"])
def test_columns_labels_and_order_stay(tmp_path: Path, name: str) -> None:
    path, output = tmp_path / name, tmp_path / "out" / name
    raw = content(name.split(".")[1], ROWS)
    path.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    report = scrub(path, output, Settings(names="off"))
    rows = read(output)
    assert [row["text"] for row in rows] == CLEAN
    assert [row["label"] for row in rows] == ["a@b.org", "b", "c"]
    assert [list(row) for row in rows] == [list(row) for row in read(path)]
    assert (report.records, report.changed) == (3, 2)
    assert {kind.kind: kind.places for kind in report.replaced if kind.places} == {"EMAIL": 1, "PHONE": 1}
    assert report.left == {"label": {"EMAIL": 1}, "note": {"PHONE": 1}}
    again = scrub(output, tmp_path / "again" / name, Settings(names="off"))
    assert again.changed == 0
    if not name.endswith(".gz"):
        assert (tmp_path / "again" / name).read_bytes() == output.read_bytes()
        assert output.read_bytes().splitlines()[-2] == raw.splitlines()[-2]


def test_numbers_of_a_jsonl_keep_their_digits(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(content("jsonl", ROWS))
    scrub(tmp_path / "a.jsonl", tmp_path / "b.jsonl", Settings(names="off"))
    lines = (tmp_path / "b.jsonl").read_text().splitlines()
    assert all('2.50, "big": 12345678901234567890}' in line for line in (lines[0], lines[2]))


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_columns_that_are_no_text_are_named_and_not_passed_over(tmp_path: Path, kind: str) -> None:
    said = [{"role": "user", "content": "write to bob@example.com"}]
    row = {"text": "hello ann@example.com", "messages": said, "tags": ["x@example.com"], "n": 5}
    path = tmp_path / f"a.{kind}"
    if kind == "jsonl":
        path.write_text(json.dumps(row) + "\n")
    else:
        pq.write_table(pa.Table.from_pylist([row]), path)
    report = scrub(path, tmp_path / f"b.{kind}", Settings(names="off"))
    assert report.left == {}
    assert report.not_read == ["messages", "tags"]
    assert "column messages holds lists" in " ".join(terminal(report).split())


def test_a_parquet_keeps_its_schema(tmp_path: Path) -> None:
    table = pa.table(
        {
            "text": pa.array([row["text"] for row in ROWS[:2]] + [None], pa.large_string()),
            "pair": pa.array(["a@b.org", "x", "x"]).dictionary_encode(),
            "label": pa.array([1, 2, 3], pa.int8()),
            "tags": pa.array([["a"], [], None]),
        }
    ).replace_schema_metadata({"made": "by hand"})
    pq.write_table(table, tmp_path / "a.parquet")
    scrub(tmp_path / "a.parquet", tmp_path / "b.parquet", Settings(names="off"))
    found = pq.read_table(tmp_path / "b.parquet")
    assert found.schema.equals(pq.read_schema(tmp_path / "a.parquet"), check_metadata=True)
    assert found["text"].to_pylist() == [*CLEAN[:2], None]
    assert found["pair"].to_pylist() == ["<EMAIL>", "x", "x"]
    assert found.select(["label", "tags"]).equals(table.select(["label", "tags"]))


def test_txt_and_tsv(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"one\r\na@b.org\r\n\r\n \ntwo")
    assert scrub(tmp_path / "a.txt", tmp_path / "b.txt", Settings(names="off")).records == 2
    assert (tmp_path / "b.txt").read_bytes() == b"one\r\n<EMAIL>\r\n\r\n \ntwo"
    (tmp_path / "a.tsv").write_bytes(b'text\tlabel\n\na@b.org "x"\t1\r\ny\t2')
    scrub(tmp_path / "a.tsv", tmp_path / "b.tsv", Settings(names="off"))
    assert (tmp_path / "b.tsv").read_bytes() == b'text\tlabel\n\n<EMAIL> "x"\t1\r\ny\t2'


def written(folder: Path, text: str = "a@b.org and a@b.org, 13812345678") -> Path:
    path = folder / "in.jsonl"
    path.write_text(json.dumps({"text": text}) + "\n")
    return path


def test_pseudonyms_with_a_mapping_outside(tmp_path: Path) -> None:
    path, mapping = written(tmp_path), tmp_path / "secret" / "mapping.jsonl"
    output = tmp_path / "out" / "out.jsonl"
    scrub(path, output, Settings(names="off", pseudonyms=True, mapping=mapping))
    text = json.loads(output.read_text())["text"]
    assert "a@b.org" not in text
    assert text.split(" and ")[0] == text.split(" and ")[1].split(",")[0]
    assert stat.S_IMODE(mapping.stat().st_mode) == 0o600
    assert restored(text, read_mapping(mapping)) == json.loads(path.read_text())["text"]


def test_pseudonyms_of_two_files_agree_with_a_key(tmp_path: Path) -> None:
    path = written(tmp_path)
    texts = []
    for name, keys in (("a", tmp_path / "keys"), ("b", tmp_path / "keys"), ("c", None)):
        scrub(path, tmp_path / f"{name}.jsonl", Settings(names="off", pseudonyms=True, keys=keys))
        texts.append((tmp_path / f"{name}.jsonl").read_text())
    assert texts[0] == texts[1] != texts[2]


def test_what_is_wrong_is_one_sentence_and_nothing_is_written(tmp_path: Path) -> None:
    path, output = written(tmp_path), tmp_path / "out" / "b.jsonl"
    mapping = tmp_path / "out" / "deeper" / "m.jsonl"
    cases: list[tuple[Settings, Path, str]] = [
        (Settings(languages=("fr",)), output, "no recogniser for 'fr'"),
        (Settings(mapping=mapping), output, "placeholders have nothing to map; add --pseudonyms"),
        (Settings(keys=tmp_path), output, "--keys: placeholders have nothing"),
        (Settings(pseudonyms=True, mapping=mapping), output, "lies with the output"),
        (Settings(pseudonyms=True, mapping=path), output, "in.jsonl: is there already"),
        (Settings(names="off"), tmp_path / "b.csv", "a jsonl stays one"),
        (Settings(names="off", replace=True), path, "is the input itself"),
        (Settings(columns=("txt",)), output, "no column 'txt'"),
    ]
    for settings, to, said in cases:
        with pytest.raises(UsageError, match=said):
            scrub(path, to, settings)
    assert not output.exists()
    output.write_text("precious")
    with pytest.raises(UsageError, match="add --replace"):
        scrub(path, output, Settings(names="off"))
    path.write_text('{"text": "a@b.org"}\n{"text": ["a@b.org"]}\n')
    with pytest.raises(DataError, match=r"line 2: column 'text': holds a list"):
        scrub(path, output, Settings(names="off", replace=True, pseudonyms=True, mapping=tmp_path / "m" / "m.jsonl"))
    assert output.read_text() == "precious"
    assert [each.name for each in output.parent.iterdir()] == ["b.jsonl"]
    assert not (tmp_path / "m" / "m.jsonl").exists()
    (tmp_path / "no.jsonl").write_text("[]\n")
    with pytest.raises(UsageError, match="no mapping that"):
        read_mapping(tmp_path / "no.jsonl")


def test_a_column_of_text_that_comes_late_is_scrubbed(tmp_path: Path) -> None:
    path, output = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    rows = [{"text": f"text {number}"} for number in range(2 * BATCH)]
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"completion": "write to a@b.org"}]))
    report = scrub(path, output, Settings(names="off"))
    assert report.columns == ["text", "completion"]
    assert report.left == {}
    assert output.read_text().splitlines()[-1] == json.dumps({"completion": "write to <EMAIL>"})


def test_the_command(tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(scrub_command.call)
    path, output = str(written(tmp_path)), str(tmp_path / "b.jsonl")
    done = CliRunner().invoke(app, [path, output, "--names", "off", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["changed"] == 1
    told = CliRunner().invoke(app, [path, output, "--names", "off", "--replace"]).stdout
    assert "1 records of in.jsonl" in told
    assert "a@b.org" not in told
    report = scrub(Path(path), Path(output), Settings(columns=("text",), replace=True))
    assert max(map(len, terminal(report).split("\n"))) <= 80
