"""Counts of the report against ones made by looking at every record, run and pair."""

from __future__ import annotations

import itertools
import json
import random
import re
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from harness.data.streams import BATCH
from harness.errors import DataError, UsageError
from harness.provenance.keys import KEYS_NAME
from privacy.commands.data import data_command
from privacy.corpus import near as near_module
from privacy.corpus.examine import Wanted, examine
from privacy.corpus.near import NearDuplicates, jaccard
from privacy.corpus.overlap import Against
from privacy.corpus.report import NearReport
from privacy.corpus.same import Same, plain
from privacy.corpus.terminal import terminal
from privacy.corpus.words import words_of

TEXTS = st.lists(st.text(alphabet="aB c,漢\n", max_size=30), max_size=12)
rensa = pytest.mark.skipif(not near_module.available(), reason="needs rensa, of the extra data")


def split(text: str) -> list[str]:
    return re.findall(r"漢|[a-z]+", text.lower())


def runs(text: str, size: int) -> list[tuple[str, ...]]:
    words = split(text)
    return [tuple(words[at : at + size]) for at in range(len(words) - size + 1)]


@given(TEXTS, st.integers(1, 5))
def test_runs_are_those_within_each_text(texts: list[str], size: int) -> None:
    """Equal runs have equal hashes, different ones different hashes."""
    words = words_of(texts)
    assert words.counts.tolist() == [len(split(text)) for text in texts]
    hashes, starts = words.runs(size)
    expected = [runs(text, size) for text in texts]
    assert np.diff(starts).tolist() == [len(each) for each in expected]
    flat = [run for each in expected for run in each]
    assert len(hashes) == len(flat)
    assert len(set(zip(hashes.tolist(), flat, strict=True))) == len(set(flat)) == len(set(hashes.tolist()))


@given(st.lists(st.sampled_from(["a", "A ", "b", "c\n", "c"]), max_size=30))
def test_groups_are_those_of_counting(texts: list[str]) -> None:
    same = Same(b"key")
    same.add(texts[:7])
    same.add(texts[7:])
    groups = same.groups()
    assert groups.extra == len(texts) - len(set(texts))
    assert groups.repeated == sum(texts.count(each) > 1 for each in set(texts))
    assert groups.largest == max(map(texts.count, texts), default=0)
    assert sum(groups.buckets().values()) == len(texts)
    assert groups.buckets()["1"] == sum(texts.count(text) == 1 for text in texts)


@given(TEXTS, TEXTS, st.integers(1, 4))
def test_overlap_is_that_of_comparing_every_run(training: list[str], evaluation: list[str], size: int) -> None:
    against = Against([evaluation[:3], evaluation[3:]], size)
    for part in (training[:5], training[5:]):
        against.add(words_of(part), [plain(text) for text in part])
    found = against.result()
    there = {run for text in training for run in runs(text, size)}
    asked = [runs(text, size) for text in evaluation]
    shared = [sum(run in there for run in each) for each in asked]
    assert found.records == len(evaluation)
    assert found.judged == sum(bool(each) for each in asked)
    assert found.touched == [number for number, hits in enumerate(shared) if hits]
    assert found.mostly == sum(bool(each) and hits >= 0.7 * len(each) for each, hits in zip(asked, shared, strict=True))
    assert found.runs == len({run for each in asked for run in each})
    assert found.shared == len({run for each in asked for run in each} & there)
    wanted = {run for each in asked for run in each}
    assert found.training == sum(any(run in wanted for run in runs(text, size)) for text in training)
    assert found.equal == sum(plain(text) in {plain(each) for each in training} for text in evaluation)


def planted(count: int) -> list[str]:
    """Texts of 120 words, every fourth with a near copy in which two words differ."""
    draw = random.Random(0)
    texts = []
    for number in range(count):
        words = [f"w{draw.randrange(400)}" for _ in range(120)]
        texts.append(" ".join(words))
        if number % 4 == 0:
            words[draw.randrange(120)] = "x"
            words[draw.randrange(120)] = "y"
            texts.append(" ".join(words))
    draw.shuffle(texts)
    return texts


@rensa
def test_near_copies_are_those_of_comparing_every_pair(tmp_path: Path) -> None:
    texts = planted(120)
    duplicates = NearDuplicates(tmp_path, 0.8)
    for start in range(0, len(texts), 50):
        duplicates.add(words_of(texts[start : start + 50]))
    found = duplicates.clusters(np.arange(len(texts)))
    shingles = [set(runs_of(text)) for text in texts]
    pairs = {
        (one, other)
        for one, other in itertools.combinations(range(len(texts)), 2)
        if len(shingles[one] & shingles[other]) >= 0.8 * len(shingles[one] | shingles[other])
    }
    assert len(pairs) >= 25
    assert {tuple(cluster) for cluster in found.clusters} == pairs
    assert found.judged == len(texts)


def runs_of(text: str) -> list[tuple[str, ...]]:
    words = text.split()
    return [tuple(words[at : at + 5]) for at in range(len(words) - 4)]


@rensa
def test_a_large_cluster_stays_one_and_short_texts_are_not_judged(tmp_path: Path) -> None:
    base = [f"w{number}" for number in range(200)]
    texts = [" ".join([*base[:number], "z", *base[number + 1 :]]) for number in range(40)] + ["a b c", ""]
    duplicates = NearDuplicates(tmp_path, 0.8)
    duplicates.add(words_of(texts))
    found = duplicates.clusters(np.arange(len(texts)))
    assert found.clusters == [list(range(40))]
    assert found.extra == 39
    assert found.judged == 40
    assert found.pairs < 40 * 39 / 2


def test_jaccard() -> None:
    assert jaccard(np.array([1, 2, 3]), np.array([2, 3, 4])) == 0.5
    assert jaccard(np.array([]), np.array([])) == 0.0


ROWS: list[dict[str, str | None]] = [
    {"text": "Write to ada@example.org or call 212-555-0142", "label": "a"},
    {"text": "write to  ADA@example.org or call 212-555-0142", "label": "b"},
    {"text": "Nothing of anybody is here", "label": "a"},
    {"text": "Nothing of anybody is here", "label": "a"},
    {"text": " ", "label": None},
    {"text": "身份证11010519491231002X", "label": "b"},
]


def write(path: Path, rows: Sequence[Mapping[str, str | None]] = ROWS) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(list(rows)), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet"])
def test_the_whole_report(tmp_path: Path, name: str) -> None:
    report = examine(write(tmp_path / name), Wanted(names="off"))
    assert (report.records, report.empty, report.columns) == (6, 1, ["text"])
    assert report.labels is not None
    assert {label.label: label.records for label in report.labels} == {"a": 3, "b": 2, "(missing)": 1}
    assert (report.identical.extra, report.same.extra, report.same.largest) == (1, 2, 2)
    assert report.same.characters == len(str(ROWS[1]["text"]) + str(ROWS[3]["text"]))
    kinds = {kind.kind: (kind.places, kind.records, kind.values) for kind in report.personal}
    assert kinds["EMAIL"] == kinds["PHONE"] == (2, 2, 1)
    assert kinds["ID_CARD"] == (1, 1, 1)
    assert "NAME" not in kinds
    assert report.lengths[1].quantiles["most"] == 10
    assert report.lengths[0].quantiles["least"] == 1
    assert isinstance(report.near, NearReport) == near_module.available()


def test_no_text_and_no_value_is_told_unless_asked(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl")
    report = examine(path, Wanted(names="off", against=(path,), words=3))
    for told in (terminal(report), report.model_dump_json()):
        assert "ada" not in told.lower()
        assert "555-0142" not in told
        assert "anybody" not in told
    shown = terminal(examine(path, Wanted(names="off", against=(path,), words=3, show=1)))
    assert "example    EMAIL: ada@example.org" in shown
    assert "same record" in shown


def test_it_fits_a_terminal_of_80_columns(tmp_path: Path) -> None:
    rows = [{"text": f"word{number} " * 50, "label": "l" * 50 + str(number)} for number in range(60)]
    path = write(tmp_path / f"{'long' * 30}.jsonl", rows)
    told = terminal(examine(path, Wanted(against=(path,), show=2, names="off")))
    assert max(map(len, told.split("\n"))) <= 80
    assert "others 50" in told


def test_values_are_named_by_a_hash_whose_key_stays_with_its_owner(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl")
    without = examine(path, Wanted(names="off"))
    assert all(not kind.repeated for kind in without.personal)
    one, again = (examine(path, Wanted(names="off", keys=tmp_path / "keys")) for _ in range(2))
    other = examine(path, Wanted(names="off", keys=tmp_path / "others"))
    emails = [next(kind for kind in each.personal if kind.kind == "EMAIL").repeated for each in (one, again, other)]
    assert emails[0] == emails[1] != emails[2]
    assert emails[0][0].places == 2
    assert stat.S_IMODE((tmp_path / "keys" / KEYS_NAME).stat().st_mode) == 0o600


def test_strings_are_counted_in_the_index(tmp_path: Path) -> None:
    pytest.importorskip("pydivsufsort", reason="needs pydivsufsort, of the extra data")
    wanted = Wanted(names="off", index=tmp_path / "index", count=("anybody", "o"))
    report = examine(write(tmp_path / "a.jsonl"), wanted)
    assert [(each.occurrences, each.documents) for each in report.counted] == [
        (2, 2),
        (sum(str(row["text"]).count("o") for row in ROWS), sum("o" in str(row["text"]) for row in ROWS)),
    ]
    assert "string 1 (7 characters): 2 times, in 2 of 6 records" in terminal(report)


def test_two_texts_of_a_record_are_one(tmp_path: Path) -> None:
    rows = [{"prompt": "a b", "completion": "c"}, {"prompt": "a", "completion": "b c"}]
    report = examine(write(tmp_path / "a.jsonl", rows), Wanted())
    assert report.columns == ["prompt", "completion"]
    assert report.identical.extra == 0


def test_a_column_that_comes_late_is_read_or_named(tmp_path: Path) -> None:
    late = 2 * BATCH + 3
    rows: list[dict[str, str | None]] = [{"text": f"text {number}", "source": "x"} for number in range(late)]
    rows.append({"text": "the last", "completion": "mail ada@example.org", "review": "seen", "label": "a"})
    path = write(tmp_path / "a.jsonl", rows)
    report = examine(path, Wanted(names="off"))
    assert (report.columns, report.other_columns) == (["text", "completion"], ["source", "review"])
    assert {kind.kind: kind.places for kind in report.personal}["EMAIL"] == 1
    assert report.labels is not None
    assert {label.label: label.records for label in report.labels} == {"(missing)": late, "a": 1}
    assert "not read   source, review; --column NAME reads one" in terminal(report)
    asked = examine(path, Wanted(names="off", columns=("review",)))
    assert (asked.columns, asked.records, asked.empty) == (["review"], late + 1, late)
    assert examine(write(tmp_path / "b.jsonl"), Wanted(names="off")).other_columns == []


def test_what_is_wrong_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.jsonl")
    with pytest.raises(DataError, match=r"no column 'txet'; it has .*did you mean 'text'"):
        examine(path, Wanted(columns=("txet",)))
    with pytest.raises(DataError, match="none of the columns text, pair, prompt, completion"):
        examine(write(tmp_path / "b.jsonl", [{"review": "x"}]), Wanted())
    with pytest.raises(DataError, match="the file is empty"):
        examine(write(tmp_path / "c.jsonl", []), Wanted())
    with pytest.raises(UsageError, match="--count: counts in an index"):
        examine(path, Wanted(count=("a",)))
    with pytest.raises(UsageError, match="no recogniser for 'fr'"):
        examine(path, Wanted(languages=("fr",)))
    with pytest.raises(UsageError, match="no such file"):
        examine(path, Wanted(against=(tmp_path / "none.csv",)))
    monkeypatch.setattr("privacy.corpus.examine.available", lambda: False)
    assert (
        examine(path, Wanted(names="off")).near == "near duplicates need the package rensa; pip install 'assay[data]'"
    )


def test_the_command(tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(data_command.call)
    path = str(write(tmp_path / "a.jsonl"))
    done = CliRunner().invoke(app, [path, "--json", "--names", "off", "--against", path, "--words", "3"])
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["records"] == 6
    assert report["overlap"][0]["equal"] == 6
    assert "6 records" in CliRunner().invoke(app, [path, "--names", "off"]).stdout


@pytest.mark.data
@rensa
def test_a_real_corpus(real_data: Path, tmp_path: Path) -> None:
    """Inaugural addresses: no copies, nobody's data."""
    path = real_data / "lm_corpora" / "inaugural.jsonl.gz"
    report = examine(path, Wanted(names="off"))
    assert report.records == 59
    assert report.identical.extra == 0
    assert [kind.kind for kind in report.personal if kind.places] == []
