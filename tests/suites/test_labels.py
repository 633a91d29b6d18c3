from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from harness.api.needs import Need
from harness.data.datasets import DataSource
from harness.errors import DataError
from suites.labels import class_indices, class_of, is_sentiment, true_classes
from tests.fakes import dataset, make_info, plan

SENTIMENT = ("negative", "positive")


def indices(labels: list[Any], classes: tuple[str, ...], label_map: dict[str, str] | None = None) -> list[int]:
    source = DataSource(source="test.csv", label_map=label_map or {})
    return class_indices(dataset(pd.DataFrame({"label": labels}), source), classes)


@pytest.mark.parametrize(
    ("labels", "classes", "expected"),
    [
        (["positive", "negative"], SENTIMENT, [1, 0]),
        (["Positive", "NEGATIVE"], SENTIMENT, [1, 0]),
        (["pos", "neg"], SENTIMENT, [1, 0]),
        (["negative", "Positive"], ("NEG", "POS"), [0, 1]),
        ([0, 1], SENTIMENT, [0, 1]),
        ([1.0, 0.0], SENTIMENT, [1, 0]),
        ([" 1 ", "0"], SENTIMENT, [1, 0]),
        ([0, 1], ("LABEL_0", "LABEL_1"), [0, 1]),
        (["label_1", "LABEL_0"], ("LABEL_0", "LABEL_1"), [1, 0]),
        (["1", "3"], ("1", "2", "3"), [0, 2]),  # all are names of classes, so none is an index
        (["0", "2"], ("1", "2", "3"), [0, 2]),  # '0' is no name, so all are indices
        (["b", "B"], ("B", "b"), [1, 0]),
    ],
)
def test_a_label_is_found_by_name_or_by_index(labels: list[Any], classes: tuple[str, ...], expected: list[int]) -> None:
    assert indices(labels, classes) == expected


def test_a_label_map_names_classes_or_their_indices() -> None:
    assert indices(["good", "bad", "1"], SENTIMENT, {"good": "POSITIVE", "bad": "0"}) == [1, 0, 1]


@pytest.mark.parametrize(
    ("labels", "classes", "row", "value"),
    [
        ([0, 1, 2], SENTIMENT, 3, "2"),
        ([0, -1], SENTIMENT, 2, "-1"),
        (["positive", "neutral"], SENTIMENT, 2, "neutral"),
        (["positive", "negative"], ("LABEL_0", "LABEL_1"), 1, "positive"),
        (["LABEL_1"], SENTIMENT, 1, "LABEL_1"),
        (["positive", "0"], SENTIMENT, 2, "0"),
        ([0.5], SENTIMENT, 1, "0.5"),
    ],
)
def test_a_label_that_is_no_class_is_named_with_its_row(
    labels: list[Any], classes: tuple[str, ...], row: int, value: str
) -> None:
    with pytest.raises(DataError) as caught:
        indices(labels, classes)
    message = str(caught.value)
    assert f"test.csv: row {row} of those used has the label {value!r}" in message
    assert all(repr(name) in message for name in classes)


def test_a_label_map_to_no_class_is_refused() -> None:
    with pytest.raises(DataError, match=r"'good' \(mapped to 'fine'\)"):
        indices(["good"], SENTIMENT, {"good": "fine"})


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (("NEGATIVE", "POSITIVE"), True),
        (("pos", "neg"), True),
        (("LABEL_0", "LABEL_1"), False),
        (("negative", "neutral", "positive"), False),
        (("neg", "negative"), False),
    ],
)
def test_sentiment_is_recognised_by_both_names(labels: tuple[str, ...], expected: bool) -> None:
    assert is_sentiment(labels) is expected


def test_class_of_prefers_the_name() -> None:
    assert class_of("1", ("2", "1", "0")) == 1
    assert class_of("2", ("a", "b", "c")) == 2
    assert class_of("3", ("a", "b", "c")) is None


def test_the_default_data_are_for_sentiment_models_only() -> None:
    default = DataSource(source="reviews.csv")
    data = dataset(pd.DataFrame({"text": ["a"], "label": ["positive"]}), default)
    sentiment = make_info(Need.SEQUENCE_CLASSIFIER, labels=("POS", "NEG"))
    assert true_classes(plan(sentiment, examples=data), "examples", default) == [0]
    topics = make_info(Need.SEQUENCE_CLASSIFIER, labels=("world", "sports"))
    with pytest.raises(DataError, match=r"0 'world', 1 'sports'; give data: \{examples: <source>\}"):
        true_classes(plan(topics, examples=data), "examples", default)


def test_a_regression_head_is_refused() -> None:
    info = make_info(Need.SEQUENCE_CLASSIFIER, labels=("score",))
    data = dataset(pd.DataFrame({"text": ["a"], "label": [0]}))
    with pytest.raises(DataError, match="1 outputs, a regression"):
        true_classes(plan(info, examples=data), "examples", None)
