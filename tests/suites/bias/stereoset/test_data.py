from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from harness.errors import WrongDataError
from suites.bias.stereoset.data import CHOICES, INTER, INTRA, filled, permuted, published_rows, read_triples
from tests.fakes import dataset


@pytest.mark.parametrize(
    ("context", "sentence", "words"),
    [
        ("Girls tend to be more BLANK than boys", "girls tend to be more soft than boys.", ("soft",)),
        ("BLANK people ride on it.", "Rich people ride on it", ("Rich",)),
        ("He is BLANK.", "He is very  old!", ("very  old",)),
        (
            "brahmin is very BLANK and is strict about BLANK",
            "Brahmin is very neat and is strict about food",
            ("neat", "food"),
        ),
        ("The BLANK man (old) left", "A tall man [old] left", ("tall",)),
        ("He was BLANK", "She", ()),
        ("BLANK and BLANK", "neither", ()),
        ("a BLANK .", "a .", ()),
    ],
)
def test_what_fills_a_blank(context: str, sentence: str, words: tuple[str, ...]) -> None:
    found = filled(context, sentence)
    assert (found.words if found else ()) == words
    if found:
        assert "BLANK".join((*found.before, found.after)) == context


def frame(**columns: object) -> pd.DataFrame:
    rows = {"context": ["a nurse is BLANK"], "target": ["nurse"], **{name: [f"a nurse is {name}"] for name in CHOICES}}
    return pd.DataFrame({**rows, **columns})


def test_the_task_follows_from_the_blank() -> None:
    assert [row["task"] for row in read_triples(dataset(frame()))] == [INTRA]
    assert [row["task"] for row in read_triples(dataset(frame(context=["a nurse came"])))] == [INTER]


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ({"context": ["a nurse"], "task": [INTRA]}, "test.csv: row 1 of those used has no BLANK in its context"),
        ({"unrelated": [" "]}, "row 1 of those used has an empty unrelated"),
    ],
)
def test_a_wrong_row_is_named(columns: dict[str, object], why: str) -> None:
    with pytest.raises(WrongDataError, match=why):
        read_triples(dataset(frame(**columns)))


def test_the_control_names_another_target_of_the_same_kind() -> None:
    kinds = {"nurse": "profession", "clerk": "profession", "girl": "gender", "lawyer": "profession"}
    triples = [
        {"task": INTRA, "context": f"The {who.title()}s are BLANK", "target": who, "bias_type": kind}
        | {name: f"the {who}s are {name}" for name in CHOICES}
        for who, kind in kinds.items()
    ]
    made = permuted([*triples, {**triples[0], "context": "They are BLANK"}])
    assert [each["target"] for each in made] == ["nurse", "clerk", "lawyer"]  # one gender only: nothing to put there
    for each in made:
        assert each["target"] not in each["context"].lower()
        other = each["context"].removeprefix("The ").removesuffix("s are BLANK")
        assert kinds[other] == "profession"
        assert all(each[name] == f"the {other}s are {name}" for name in CHOICES)
    assert permuted(triples) == permuted(list(triples))


def test_the_published_layout_is_read(tmp_path: Path) -> None:
    labels = {"stereotype": "s", "anti-stereotype": "a", "unrelated": "u"}
    cluster = {
        "context": "x BLANK",
        "target": "t",
        "bias_type": "race",
        "sentences": [{"gold_label": label, "sentence": f"x {word}"} for label, word in labels.items()],
    }
    path = tmp_path / "dev.json"
    path.write_text(json.dumps({"data": {INTRA: [cluster], INTER: [{**cluster, "context": "y"}]}}))
    sentences = {"stereotype": "x s", "anti_stereotype": "x a", "unrelated": "x u"}
    about = {"target": "t", "bias_type": "race", **sentences}
    assert published_rows(path) == [
        {"task": INTRA, "context": "x BLANK", **about},
        {"task": INTER, "context": "y", **about},
    ]
    path.write_text("[1]")
    with pytest.raises(WrongDataError, match="no published file of StereoSet"):
        published_rows(path)


@pytest.mark.data
def test_the_published_contexts_have_the_published_counts_and_all_are_filled(real_data: Path) -> None:
    rows = published_rows(real_data / "stereoset" / "stereoset.json.gz")
    intra = [row for row in rows if row["task"] == INTRA]
    assert (len(intra), len(rows) - len(intra)) == (2106, 2123)
    assert all(filled(row["context"], row[name]) is not None for row in intra for name in CHOICES)
    assert len(permuted(intra)) > 0.95 * len(intra)
