"""`assay measure`: rows that somebody else made are checked and measured, or refused in one sentence."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from harness.cli import main

ROWS = [
    {
        "kind": "masked",
        "bias_type": "age",
        "first_more": -1.0,
        "first_less": -2.0,
        "second_more": -1,
        "second_less": -3,
    },
    {"kind": "masked", "bias_type": "age", "first_more": -3.0, "first_less": -2.0},
    {"kind": "masked", "bias_type": "gender", "first_more": -1.5, "first_less": -2.5},
]


def run(*words: object) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["assay", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
    return int(ended.value.code or 0)


def written(folder: Path, kind: str, rows: list[dict[str, Any]]) -> Path:
    path = folder / f"rows.{kind}"
    frame = pd.DataFrame(rows)
    if kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif kind == "csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path)
    return path


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_rows_of_any_kind_of_file_give_the_same_metrics(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("measure", "bias/crows_pairs", "--rows", written(tmp_path, kind, ROWS), "--json") == 0
    said = json.loads(capsys.readouterr().out)
    metrics = {(each["key"], each["slice"]): each for each in said["metrics"]}
    share = metrics["bias/crows_pairs/stereotype_share", ""]
    assert (share["value"], share["n"], share["missing"]) == (2 / 3, 3, 0)
    assert metrics["bias/crows_pairs/stereotype_share", "age"]["value"] == 0.5
    changed = metrics["bias/crows_pairs/stereotype_share_changed_tokens", ""]
    assert (changed["value"], changed["n"], changed["missing"]) == (1.0, 1, 2)
    assert set(said["filled"]) == {
        "case_id",
        "status",
        "error",
        "direction",
        "sent_more",
        "sent_less",
        "role",
        "family",
    }


def test_the_table_says_what_was_filled_in_and_what_is_not_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        run("measure", "bias/crows_pairs", "--rows", written(tmp_path, "jsonl", [{**r, "model": "m"} for r in ROWS]))
        == 0
    )
    out = " ".join(capsys.readouterr().out.split())
    assert (
        "case_id is row-1, row-2, ...; status is 'ok'; error is empty; role is 'scored'; family is ''; direction is ''"
        in out
    )
    assert "not read: model" in out
    assert "stereotype_share, rate 0.6667" in out
    assert "Cannot tell" in out


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"first_more": "much"}, "row 2, column 'first_more': 'much' is no double"),
        ({"first_more": None}, "row 2, column 'first_more' is empty"),
        ({"kind": "other"}, "row 2, column 'kind' 'other' is none of 'causal', 'masked'; correct it"),
        ({"case_id": "row-1"}, "column 'case_id' 'row-1' is there twice"),
        ({"status": "error"}, "row 2 has status 'error' and no error; say why"),
        ({"bias_type": 3.5}, ""),
    ],
)
def test_a_row_that_breaks_the_schema_is_named(
    change: dict[str, Any], why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [ROWS[0], {**ROWS[1], **change}]
    code = run("measure", "bias/crows_pairs", "--rows", written(tmp_path, "jsonl", rows))
    said = "".join(capsys.readouterr().err.split("\n"))
    assert code == (2 if why else 0), said
    assert why in said
    assert "fault" not in said


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["measure", "bias/crows_pairs"], "either --rows FILE or --schema"),
        (["measure", "bias"], "'bias' is a suite"),
        (["measure", "bias/crows_pair", "--schema"], "did you mean"),
        (["measure", "bias/crows_pairs", "--rows", "rows.xls"], "unknown kind of file"),
        (["measure", "bias/crows_pairs", "--rows", "none.csv"], "none.csv"),
    ],
)
def test_a_wrong_call_is_one_sentence(words: list[str], why: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*words) == 2
    said = capsys.readouterr().err
    assert why in said
    assert "Traceback" not in said


BBQ = {"condition": "ambig", "polarity": "neg", "label": 0, "unknown": 0, "target": 1, "predicted": 1}
CROWS = {"kind": "masked", "first_more": -3.0, "first_less": -2.0}
WINO = {"kind": "causal", "group": "type 1", "control": False, "unit": "u", "stereotype": "female", "female": "she"}
WINO |= {"male": "he", "right": "a", "other": "b", "pronoun_female": -1.0, "pronoun_male": -2.0}
SEAT = {"test": "t", "kind": "bias", "pooling": "mean", "layer": -1, "words_1": ["a"], "words_2": ["b"]}
SEAT |= {
    "associations_1": [0.1],
    "associations_2": [0.2],
    "effect_size": -1.414,
    "p": 0.5,
    "partitions": 2,
    "exact": True,
}
SEAT |= {"null_abs_effect": 1.414}
STEREO = {"kind": "masked", "task": "intrasentence", "target": "nurse", "score_stereotype": 0.5}
STEREO |= {"score_anti_stereotype": 0.4, "score_unrelated": 0.1}
FAIR = {"text": "a", "axes": ["g"], "groups": ["x"], "label": 1, "predicted": 1, "positive": True, "answered": True}
FAIR |= {"probability": 0.9, "positive_class": "p", "fewest": 2}
HONEST = {"kind": "masked", "template": "[M]", "identity": "a", "category": "a", "control": False, "k": 1}


@pytest.mark.parametrize(
    ("probe", "row", "why"),
    [
        ("bias/bbq", {**BBQ, "label": 1}, "row 2 has an ambiguous context whose label is not the answer unknown"),
        ("bias/bbq", {**BBQ, "target": 0}, "row 2 has a target that is the answer unknown"),
        ("bias/bbq", {**BBQ, "target": None}, ""),
        ("bias/bbq", {**BBQ, "predicted": None}, "row 2, column 'predicted' is empty; fill it in, or give the row"),
        ("bias/bbq", {**BBQ, "predicted": 3}, "row 2, column 'predicted' '3' is over 2; correct it"),
        ("bias/bbq", {**BBQ, "asked": "letters"}, "row 2 has another asked than the first row (not said)"),
        ("bias/stereoset", {**STEREO, "kind": "causal"}, "row 2 has another kind than the first row of task intra"),
        ("bias/stereoset", {**STEREO, "kind": "next sentence", "task": "intersentence"}, ""),
        ("bias/group_fairness", {**FAIR, "positive_class": "q"}, "another positive_class than the first row (p)"),
        ("bias/honest", {**HONEST, "completions": ["a"], "hurtful": ["a", "b"]}, "row 2 has more words in 'hurtful'"),
        (
            "bias/honest",
            {**HONEST, "completions": ["a"], "hurtful": [], "kind": "causal"},
            "row 2 has another kind than",
        ),
        (
            "bias/honest",
            {**HONEST, "completions": ["a"], "hurtful": [], "k": 2},
            "row 2 has another k than the first row",
        ),
        ("bias/crows_pairs", {**CROWS, "kind": "causal"}, "row 2 has another kind than the first row (masked)"),
        ("bias/winobias", {**WINO, "kind": "masked"}, "row 2 has another kind than the first row (causal)"),
        ("bias/winogender", WINO, ""),
        ("bias/seat", SEAT, "row 2 has the same test as a row before it"),
        ("bias/seat", {**SEAT, "test": "u", "pooling": "cls"}, "row 2 has another pooling than the first row (mean)"),
        ("bias/seat", {**SEAT, "test": "u"}, ""),
    ],
)
def test_a_row_that_contradicts_itself_is_named(
    probe: str, row: dict[str, Any], why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    firsts = {"bias/bbq": BBQ, "bias/crows_pairs": CROWS, "bias/seat": SEAT, "bias/winobias": WINO}
    firsts |= {"bias/stereoset": STEREO, "bias/group_fairness": FAIR, "bias/winogender": WINO}
    firsts |= {"bias/honest": {**HONEST, "completions": ["a"], "hurtful": []}}
    first = firsts[probe]
    code = run("measure", probe, "--rows", written(tmp_path, "jsonl", [first, row]))
    said = " ".join(capsys.readouterr().err.split())
    assert code == (2 if why else 0), said
    assert why in said


def test_rows_that_cannot_be_measured_together_are_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {"text": "a", "axes": ["g"], "groups": ["x", "y"], "label": 1, "predicted": 1, "positive": True}
    row |= {"answered": True, "probability": 0.9, "positive_class": "p", "fewest": 2}
    assert run("measure", "bias/group_fairness", "--rows", written(tmp_path, "jsonl", [row])) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "bias/group_fairness cannot measure the rows together (ValueError" in said
    assert "Traceback" not in said


def test_a_missing_column_is_named_with_its_meaning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"kind": "masked", "first_moer": -1.0, "first_less": -2.0}]
    assert run("measure", "bias/crows_pairs", "--rows", written(tmp_path, "jsonl", rows)) == 2
    said = "".join(capsys.readouterr().err.split("\n"))
    assert "no column 'first_more', which bias/crows_pairs needs (score of sent_more" in said
    assert "did you mean 'first_moer'" in said


def test_the_schema_says_what_a_row_must_hold(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("measure", "bias/crows_pairs", "--schema", "--json") == 0
    columns = {each["name"]: each for each in json.loads(capsys.readouterr().out)["columns"]}
    assert {name for name, each in columns.items() if each["required"]} == {"kind", "first_more", "first_less"}
    assert columns["bias_type"]["absent"] == ""
    assert run("measure", "bias/crows_pairs", "--schema") == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "first_more double nats yes score of sent_more" in out
