from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

from harness.api.needs import Need
from harness.api.scorer import TextRequest
from harness.data.datasets import DataSource, load_dataset
from harness.errors import DataError
from harness.stats.intervals import clopper_pearson
from suites.quality.classification import Slices
from suites.quality.classification.slices import SlicedTexts, length_slice
from tests.fakes import FakeScorer, by_key, make_info, plan, rows_of

INFO = make_info(Need.SEQUENCE_CLASSIFIER)


def classify(request: TextRequest) -> Sequence[float]:
    """Positive, 0.9 sure, unless the text is long: then 0.8 sure of negative."""
    return (0.8, 0.2) if len(request.text.split()) > 16 else (0.1, 0.9)


def frame() -> pd.DataFrame:
    short: list[dict[str, object]] = [
        {"text": f"short {at}", "label": at % 2, "slice": "web" if at < 20 else "shop"} for at in range(40)
    ]
    long: list[dict[str, object]] = [{"text": f"{'word ' * 30}{at}", "label": 0, "slice": None} for at in range(30)]
    return pd.DataFrame(short + long)


def test_each_slice_has_its_own_accuracy_and_overconfidence(tmp_path: Path) -> None:
    probe = Slices()
    rows = rows_of(probe, FakeScorer(INFO, classify=classify), probe.cases(plan(INFO, examples=frame())), tmp_path)
    found = by_key(probe.measure(rows))
    accuracy = {part: (metric.value, metric.n) for (key, part), metric in found.items() if key == "accuracy"}
    assert accuracy == {
        "": (50 / 70, 70),
        "words 0-16": (0.5, 40),
        "words 17-64": (1.0, 30),
        "label negative": (30 / 50, 50),
        "label positive": (1.0, 20),
        "web": (0.5, 20),
        "shop": (0.5, 20),
    }
    assert found["overconfidence", "words 0-16"].value == pytest.approx(0.9 - 0.5)
    assert found["overconfidence", "words 17-64"].value == pytest.approx(0.8 - 1.0)


def test_the_worst_slice_is_of_those_with_thirty_texts_and_its_interval_holds_for_all(tmp_path: Path) -> None:
    probe = Slices()
    rows = rows_of(probe, FakeScorer(INFO, classify=classify), probe.cases(plan(INFO, examples=frame())), tmp_path)
    worst = by_key(probe.measure(rows))["worst_slice_accuracy", ""]
    level = 1 - 0.05 / 3  # two lengths and label negative; the others have 20
    assert (worst.value, worst.n) == (0.5, 40)
    assert worst.low == pytest.approx(clopper_pearson(20, 40, level).low)
    assert worst.high == pytest.approx(clopper_pearson(20, 40, level).high)
    assert "words 0-16" in worst.note


@pytest.mark.parametrize(
    ("words", "name"),
    [(0, "words 0-16"), (16, "words 0-16"), (17, "words 17-64"), (256, "words 65-256"), (257, "words over 256")],
)
def test_lengths(words: int, name: str) -> None:
    assert length_slice(words) == name


def test_any_column_can_be_the_slice_and_one_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("text,label,country\na b,0,NL\nc d,1,\n")
    data = load_dataset(DataSource(source=str(path), columns={"slice": "country"}), SlicedTexts)
    cases = Slices().cases(plan(INFO, examples=data))
    assert [case.data["slice"] for case in cases] == ["NL", ""]
    with pytest.raises(DataError, match=r"no column 'county' .*did you mean 'country'"):
        load_dataset(DataSource(source=str(path), columns={"slice": "county"}), SlicedTexts)
