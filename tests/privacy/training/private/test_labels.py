"""Class names and labels of a private training: no single record decides them.

Guards against: one record labelled with a made-up name put that name into config.json at epsilon 7.997.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.checkpoint import CheckpointSource, inspect_checkpoint
from harness.data.labels import fixed_class
from harness.data.schemas import LabelledTexts
from harness.errors import DataError, UsageError
from privacy.training import TrainSpec, train
from privacy.training.data.load import load_training_data
from privacy.training.settings.options import load_train_spec
from privacy.training.settings.spec import config_digest
from suites.memorization.members import check_side, load_side
from tests.privacy.toys import make_base, make_spec, opinions, write_rows

NOISY = {"noise_multiplier": 1.0}
NAMED = {"label_names": ("negative", "positive")}
SECRET = {"text": "good film", "label": "Zebulon Quill"}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("encoder"), "bert", "base")


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("classifier"), "bert", "classifier")


def spec_of(folder: Path, base: Path, rows: list[dict[str, str]] | None = None, **fields: Any) -> TrainSpec:
    data = write_rows(folder / "rows.jsonl", rows or opinions(32, seed=1))
    return make_spec(folder, base, **{"data": str(data), "epochs": 1, "privacy": NOISY, **fields})


def test_the_class_names_are_never_read_from_private_records(encoder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="label_names: with privacy the class names may not be read from the records"):
        train(spec_of(tmp_path, encoder))
    assert not (tmp_path / "trained").exists()


def test_a_made_up_label_gets_into_no_file(encoder: Path, classifier: Path, tmp_path: Path) -> None:
    rows = [*opinions(32, seed=1), SECRET]
    for number, (base, fields) in enumerate(((encoder, NAMED), (classifier, {}))):
        with pytest.raises(DataError, match="row 33 of those used has the label 'Zebulon Quill', the classes"):
            train(spec_of(tmp_path, base, rows, **fields))
        dropping = {**fields, "privacy": {**NOISY, "other_labels": "drop"}, "output": tmp_path / f"dropped{number}"}
        made = train(spec_of(tmp_path, base, rows, **dropping))
        assert made.manifest.members_n == 32
        assert "1 records have labels that are none of the classes and were not trained on" in made.sentence
        content = b"".join(path.read_bytes() for path in made.folder.rglob("*") if path.is_file())
        assert b"Zebulon" not in content
        assert json.loads((made.folder / "config.json").read_text())["id2label"] == {"0": "negative", "1": "positive"}


def test_without_privacy_they_are_read_from_the_records_as_ever(encoder: Path, tmp_path: Path) -> None:
    made = train(spec_of(tmp_path, encoder, [*opinions(32, seed=1), SECRET], privacy=None))
    assert made.manifest.label_names == ("Zebulon Quill", "negative", "positive")


def test_a_public_classifier_names_them(classifier: Path, tmp_path: Path) -> None:
    assert train(spec_of(tmp_path, classifier)).manifest.label_names == ("negative", "positive")


def test_one_record_does_not_move_the_classes_of_the_others(classifier: Path, tmp_path: Path) -> None:
    """Numbers count from 1, unless one of them is 0: a record that says 0 would shift the class of every other."""
    numbered = [{**row, "label": str(1 + (row["label"] == "positive"))} for row in opinions(32, seed=1)]
    with pytest.raises(DataError, match=r"has the label '1'.*no number as a class: map it with label_map"):
        load_training_data(spec_of(tmp_path, classifier, numbered))
    source = {"source": str(tmp_path / "rows.jsonl"), "label_map": {"1": "negative", "2": "positive"}}
    drop = {"data": source, "privacy": {**NOISY, "other_labels": "drop"}}
    without = load_training_data(spec_of(tmp_path, classifier, numbered, **drop))
    assert set(without.labels) == {0, 1}
    one_more = load_training_data(spec_of(tmp_path, classifier, [*numbered, {"text": "film", "label": "0"}], **drop))
    assert (one_more.labels, one_more.dropped) == (without.labels, 1)
    assert one_more.members.digest == without.members.digest


@pytest.mark.parametrize(
    ("label", "index"),
    [("positive", 1), (" Positive ", 1), ("pos", 1), ("1", None), ("0", None), ("other", None), ("good", 1), ("7", 0)],
)
def test_a_label_is_read_by_itself(label: str, index: int | None) -> None:
    assert fixed_class(label, ("negative", "positive"), {"good": "positive", "7": "negative"}) == index


def test_classes_that_are_called_by_numbers_are_names(encoder: Path, tmp_path: Path) -> None:
    rows = [{**row, "label": str(1 + index % 2)} for index, row in enumerate(opinions(32, seed=1))]
    data = load_training_data(spec_of(tmp_path, encoder, rows, label_names=("1", "2")))
    assert data.labels == [index % 2 for index in range(32)]


def test_a_public_file_may_name_them(encoder: Path, tmp_path: Path) -> None:
    names = tmp_path / "labels.txt"
    names.write_text("negative\npositive\n")
    data = write_rows(tmp_path / "rows.jsonl", opinions(32, seed=1))
    path = tmp_path / "train.yaml"
    path.write_text(
        f"base: {encoder}\ntask: classification\ndata: {data}\noutput: {tmp_path / 'out'}\n"
        f"label_names: {{file: {names}}}\nprivacy: {{epsilon: 8}}\n"
    )
    assert load_train_spec(path).label_names == ("negative", "positive")
    for content, sentence in ((b"a\n\nb\n", "line 2 is empty"), (b"", "line 1 is empty"), (b"\xff", "no text file")):
        names.write_bytes(content)
        with pytest.raises(UsageError, match=sentence):
            load_train_spec(path)
    names.unlink()
    with pytest.raises(UsageError, match="is no text file that can be read"):
        load_train_spec(path)
    path.write_text(path.read_text().replace("file:", "from:"))
    with pytest.raises(UsageError, match=r"give a list of names, or \{file:"):
        load_train_spec(path)


def test_nothing_is_left_where_no_label_is_a_class(classifier: Path, tmp_path: Path) -> None:
    rows = [{**row, "label": f"x{row['label']}"} for row in opinions(32, seed=1)]
    with pytest.raises(DataError, match="no record has the label of a class"):
        load_training_data(spec_of(tmp_path, classifier, rows, privacy={**NOISY, "other_labels": "drop"}))


def test_an_audit_finds_the_members_that_were_kept(classifier: Path, tmp_path: Path) -> None:
    rows = [*opinions(32, seed=1), SECRET]
    made = train(spec_of(tmp_path, classifier, rows, privacy={**NOISY, "other_labels": "drop"}))
    from harness.checkpoint import Permissions

    info = inspect_checkpoint(CheckpointSource(source=str(made.folder)), Permissions(manifest_sources=True))
    assert info.manifest is not None
    assert len(load_side(info, info.manifest, "members", LabelledTexts, {})) == 32
    write_rows(tmp_path / "rows.jsonl", rows[1:])
    with pytest.raises(DataError, match="its records are not the members of the training manifest"):
        load_side(info, info.manifest, "members", LabelledTexts, {})
    (tmp_path / "assay_keys.json").unlink()
    with pytest.raises(UsageError, match="the digest of its records has a key, which only whoever trained it has"):
        check_side(info, info.manifest, "members", load_training_data(spec_of(tmp_path, classifier)).members)


def test_settings_from_before_have_the_digest_they_had(classifier: Path, tmp_path: Path) -> None:
    spec = spec_of(tmp_path, classifier)
    assert "other_labels" not in spec.canonical()["privacy"]
    dropping = spec_of(tmp_path, classifier, privacy={**NOISY, "other_labels": "drop"})
    assert dropping.canonical()["privacy"]["other_labels"] == "drop"
    assert config_digest(dropping.canonical()) != spec.digest()
