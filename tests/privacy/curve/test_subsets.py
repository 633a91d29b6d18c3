"""Nested subsets: what they hold, and which sizes are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.errors import DataError, UsageError
from privacy.curve.cells import make_curve
from privacy.curve.subsets import drawn, fewest, halves, write_subsets
from privacy.training import TrainSpec
from privacy.training.data.load import load_training_data
from tests.privacy.toys import opinions, write_rows

CLASSES = [0] * 60 + [1] * 30 + [2] * 10


@pytest.mark.parametrize("classes", [None, CLASSES])
def test_an_order_holds_each_record_once_and_hangs_on_its_seed_alone(classes: list[int] | None) -> None:
    order = drawn(classes, 100, 3)
    assert sorted(order) == list(range(100))
    assert order.tolist() == drawn(classes, 100, 3).tolist()
    assert order.tolist() != drawn(classes, 100, 4).tolist()


def test_every_subset_has_the_classes_in_proportion() -> None:
    labels = np.asarray(CLASSES)
    for seed in range(20):
        order = drawn(CLASSES, 100, seed)
        for size in range(1, 101):
            counts = np.bincount(labels[order[:size]], minlength=3)
            assert abs(counts - size * np.array([0.6, 0.3, 0.1])).max() <= 1, (seed, size)


def test_which_records_of_a_class_come_first_is_drawn() -> None:
    """Each of 10 records of the rare class is among the first 5 of it in about half of 2,000 orders."""
    labels = np.asarray(CLASSES)
    orders = [drawn(CLASSES, 100, seed) for seed in range(2000)]
    first = np.concatenate([order[labels[order] == 2][:5] for order in orders])
    shares = np.bincount(first, minlength=100)[90:] / 2000
    assert shares == pytest.approx(np.full(10, 0.5), abs=4 * np.sqrt(0.25 / 2000))


@pytest.mark.parametrize("classes", [CLASSES, [0, 0, 1, 1], [0] * 7 + [1] * 3, [0] * 50 + [1] * 2 + [2] * 3])
def test_the_fewest_records_that_hold_two_of_each_class_by_brute_force(classes: list[int]) -> None:
    labels, names = np.asarray(classes), [str(k) for k in range(max(classes) + 1)]
    found = fewest(classes, names, "data")
    enough = [
        next(m for m in range(1, len(classes) + 1) if np.bincount(labels[order[:m]], minlength=len(names)).min() >= 2)
        for order in (drawn(classes, len(classes), seed) for seed in range(200))
    ]
    assert found == max(enough)


def spec(folder: Path, rows: list[dict[str, str]], **fields: Any) -> TrainSpec:
    data = write_rows(folder / "train.jsonl", rows)
    held = write_rows(folder / "held.jsonl", opinions(20, seed=9))
    values = {"base": "nowhere", "task": "classification", "data": str(data), "held_out": str(held)}
    return TrainSpec.model_validate({**values, "output": folder / "curve", **fields})


def test_files_of_two_sizes_are_one_and_the_cells_read_its_beginning(tmp_path: Path) -> None:
    made = make_curve(spec(tmp_path, opinions(64, seed=1)), [16, 8], [0, 5])
    write_subsets(made.data, made.output, made.seeds)
    assert [cell.name for cell in made.cells] == ["n8-seed0", "n16-seed0", "n8-seed5", "n16-seed5"]
    loaded = [load_training_data(cell.spec) for cell in made.cells]
    texts = [data.texts for data in loaded]
    assert [len(each) for each in texts] == [8, 16, 8, 16]
    assert texts[1][:8] == texts[0]
    assert texts[3][:8] == texts[2]
    assert set(texts[0]) != set(texts[2])
    whole = dict(zip(made.data.texts, made.data.labels, strict=True))
    for data in loaded:
        assert data.label_names == ("negative", "positive")
        assert [whole[text] for text in data.texts] == data.labels
    assert (made.output / "subsets" / "seed0.jsonl").stat().st_mode & 0o077 == 0  # they are the training records


def test_numbers_as_labels_mean_the_same_in_every_subset(tmp_path: Path) -> None:
    """Counted from 1 in all records; a subset alone could not tell."""
    rows = [{**row, "label": str(1 + index % 3)} for index, row in enumerate(opinions(60, seed=1))]
    held = [{**row, "label": str(1 + index % 3)} for index, row in enumerate(opinions(20, seed=9))]
    file = write_rows(tmp_path / "numbers.jsonl", held)
    made = make_curve(spec(tmp_path, rows, label_names=["a", "b", "c"], held_out=str(file)), [9], [0])
    write_subsets(made.data, made.output, made.seeds)
    data = load_training_data(made.cells[0].spec)
    whole = dict(zip(made.data.texts, made.data.labels, strict=True))
    assert [whole[text] for text in data.texts] == data.labels
    assert np.bincount(data.labels).tolist() == [3, 3, 3]


def test_without_sizes_all_records_are_halved(tmp_path: Path) -> None:
    made = make_curve(spec(tmp_path, opinions(64, seed=1)), [], [0])
    assert made.sizes == (4, 8, 16, 32, 64)
    few = make_curve(spec(tmp_path, opinions(10, seed=1)), [], [0])
    assert few.sizes == (5, 10) == halves(few.data)


@pytest.mark.parametrize(
    ("sizes", "seeds", "why"),
    [
        ([65], [0], "size 65: .*train.jsonl has 64 training records; give sizes of at most 64"),
        ([3], [0], "size 3: too small for 2 records of each of the 2 classes; give sizes of at least 4"),
        ([0], [0], "size 0: must be a whole number from 1"),
        ([8, 8], [0], "the size 8 is given twice"),
        ([8], [1, 1], "the seed 1 is given twice"),
        ([8], [], "no seed is given"),
    ],
)
def test_sizes_and_seeds_that_make_no_curve(sizes: list[int], seeds: list[int], why: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=why):
        make_curve(spec(tmp_path, opinions(64, seed=1)), sizes, seeds)


def test_prompts_and_completions_of_a_subset_are_read_as_such(tmp_path: Path) -> None:
    records = [{"prompt": f"say {at}", "completion": f" then {at}"} for at in range(12)]
    held_out = write_rows(tmp_path / "kept.jsonl", [{"prompt": "say x", "completion": " then x"}])
    fields = {"task": "causal_lm", "completions": "plain", "held_out": str(held_out)}
    curve = make_curve(spec(tmp_path, records, **fields), [4, 12], [0])
    write_subsets(curve.data, curve.output, curve.seeds)
    few, every = (load_training_data(cell.spec) for cell in curve.cells)
    assert set(zip(every.texts, every.pairs or (), strict=True)) == {(f"say {at}", f" then {at}") for at in range(12)}
    assert few.texts == every.texts[:4]


def test_data_and_settings_that_make_no_curve(tmp_path: Path) -> None:
    rare = [*opinions(20, seed=1), {"text": "a film of its own kind", "label": "mixed"}]
    with pytest.raises(UsageError, match="the class 'mixed' has 1 example; a curve needs 2 or more of each class"):
        make_curve(spec(tmp_path, rare), [8], [0])
    with pytest.raises(DataError, match="missing column 'text'"):
        make_curve(spec(tmp_path, [{"words": "a", "label": "b"}]), [8], [0])
    rows = opinions(20, seed=1)
    for fields, why in (
        ({"held_out": None}, "held_out is missing"),
        ({"privacy": {"epsilon": 8}, "label_names": ["negative", "positive"]}, "leave privacy out"),
        ({"canaries": {"canaries": [{"kind": "secret", "count": 4, "pattern": "##"}]}}, "canaries: .*leave them out"),
    ):
        with pytest.raises(UsageError, match=why):
            make_curve(spec(tmp_path, rows, **fields), [8], [0])
