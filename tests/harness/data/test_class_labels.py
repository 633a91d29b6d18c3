from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from harness.audit.plan import make_plan
from harness.audit.spec import AuditSpec
from harness.data.datasets import DataSource, load_dataset
from harness.data.labels import Labels, plain_label
from harness.data.schemas import LabelledTexts
from harness.errors import DataError
from tests.tiny import make_checkpoint

SENTIMENT = ("negative", "positive")
STARS = tuple(f"LABEL_{index}" for index in range(5))
NLI = ("contradiction", "neutral", "entailment")


def labels(used: list[str], *, seen: str = "", label_map: dict[str, str] | None = None) -> Labels:
    return Labels(used, frozenset(seen.split()), label_map or {}, "test.csv")


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (labels(["1", "2", "3", "4"]), STARS),
        (labels(["1.0", "4.0"]), STARS),
        (labels(["1"]), SENTIMENT),
        (labels(["1", "4"], seen="1 2 3 4"), ("1 star", "2 stars", "3 stars", "4 stars", "5 stars")),
    ],
)
def test_numbers_that_may_count_from_zero_or_one_are_refused(given: Labels, names: tuple[str, ...]) -> None:
    with pytest.raises(DataError, match=r"test\.csv: its labels 1.* from 0 or from 1, as neither 0 nor .*label_map"):
        given.classes(names)


@pytest.mark.parametrize(
    ("given", "names", "expected", "note"),
    [
        (labels(["1", "5", "3"]), STARS, [0, 4, 2], "counted from 1: 1 is 'LABEL_0'"),
        (labels(["1", "4", "0"]), STARS, [1, 4, 0], "counted from 0: 0 is 'LABEL_0'"),
        (labels(["1", "4"], seen="0 1 2 3 4"), STARS, [1, 4], "counted from 0"),
        (labels(["1", "4"], seen="1 2 3 4 5"), STARS, [0, 3], "counted from 1"),
        (labels(["1.0", "0.0"]), SENTIMENT, [1, 0], "counted from 0: 0 is 'negative', 1 is 'positive'"),
        (labels(["2", "1"]), SENTIMENT, [1, 0], "counted from 1: 1 is 'negative', 2 is 'positive'"),
        (labels(["1", "3"]), ("1", "2", "3"), [0, 2], ""),
        (labels(["pos", "neg"]), SENTIMENT, [1, 0], ""),
    ],
)
def test_what_numbers_count_from_is_told_by_the_data_and_said(
    given: Labels, names: tuple[str, ...], expected: list[int], note: str
) -> None:
    assert given.classes(names) == expected
    assert note in given.note(names)
    assert bool(given.note(names)) == bool(note)


@pytest.mark.parametrize(
    "names", [NLI, tuple(reversed(NLI)), ("positive", "negative"), ("negative", "positive", "neutral"), ("POS", "NEG")]
)
def test_numbers_for_classes_that_have_no_one_order_are_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(DataError, match=r"its labels are numbers, and .*; say label_map"):
        labels([str(index) for index in range(len(names))]).classes(names)
    mapping = {str(index): name for index, name in enumerate(sorted(names))}
    expected = [names.index(name) for name in sorted(names)]
    assert labels(list(mapping), label_map=mapping).classes(names) == expected


def test_a_three_class_order_from_negative_to_positive_is_read() -> None:
    assert labels(["0", "2", "1"]).classes(("negative", "neutral", "positive")) == [0, 2, 1]


def test_two_classes_of_one_name_are_refused() -> None:
    with pytest.raises(DataError, match="two of the model's classes are called 'a'"):
        labels(["a"]).classes(("a", "a", "b"))


@pytest.mark.parametrize("keys", [("1.0", "0.0"), ("1", "0")])
@pytest.mark.parametrize("written", ["1.0 0.0", "1 0"])
def test_a_label_map_matches_the_number_however_it_is_written(
    tmp_path: Path, keys: tuple[str, str], written: str
) -> None:
    one, zero = written.split()
    (tmp_path / "a.csv").write_text(f"text,label\ngood,{one}\nbad,{zero}\n")
    source = DataSource(source=str(tmp_path / "a.csv"), label_map={keys[0]: "negative", keys[1]: "positive"})
    assert load_dataset(source, LabelledTexts).labels.classes(SENTIMENT) == [0, 1]


def test_a_key_written_as_in_the_data_goes_before_the_same_number() -> None:
    given = labels(["1", "1.0"], label_map={"1.0": "negative", "1": "positive"})
    assert given.classes(SENTIMENT) == [1, 0]


def test_one_label_in_several_forms() -> None:
    assert [plain_label(value) for value in (1, 1.0, " 1 ", "1.", "01", "1.50", "-1.0", "x ")] == [
        *("1", "1", "1", "1", "01", "1.50", "-1", "x")
    ]


def test_the_plan_says_how_numbers_were_read(tmp_path: Path) -> None:
    make_checkpoint(tmp_path / "bert", "bert", "classifier")
    pd.DataFrame({"text": ["a b", "c d"], "label": [0, 1]}).to_parquet(tmp_path / "a.parquet")
    spec = AuditSpec.model_validate(
        {
            "checkpoint": str(tmp_path / "bert"),
            "probes": ["quality/classification"],
            "data": {"examples": str(tmp_path / "a.parquet")},
        }
    )
    (planned,) = make_plan(spec).probes
    assert planned.notes["examples"].startswith("labels are whole numbers, read as classes counted from 0: 0 is ")
