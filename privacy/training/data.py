"""Training records: loaded, checked for what training needs, and kept apart from the held-out ones."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from harness.data import Dataset, load_dataset
from harness.errors import DataError
from harness.schemas import LabelledTexts, Texts
from privacy.training.labels import found_labels, label_indices
from privacy.training.spec import TrainSpec


@dataclass(frozen=True, slots=True)
class TrainingData:
    """Members are trained on; non-members are of the same kind and are only named in the manifest."""

    members: Dataset
    non_members: Dataset | None
    label_names: tuple[str, ...]
    """Class names by index; empty unless the task is classification."""

    @property
    def texts(self) -> list[str]:
        """Text of each member."""
        return [str(text) for text in self.members.frame["text"]]

    @property
    def pairs(self) -> list[str] | None:
        """Second text of each member; None where the records are single texts."""
        frame = self.members.frame
        return [str(text) for text in frame["pair"]] if "pair" in frame.columns else None

    @property
    def labels(self) -> list[int]:
        """Class index of each member; classification only."""
        source = self.members.source
        return label_indices(list(self.members.frame["label"]), self.label_names, source.label_map, source.source)


def load_training_data(spec: TrainSpec) -> TrainingData:
    """Raises DataError: no rows, one class only, an unknown label, or held-out records that are trained on."""
    schema = LabelledTexts if spec.task == "classification" else Texts
    members = load_dataset(spec.data, schema)
    non_members = None if spec.held_out is None else load_dataset(spec.held_out, schema)
    names = _label_names(spec, members) if spec.task == "classification" else ()
    if non_members is not None:
        _check_disjoint(members, non_members)
        if names:
            label_indices(
                list(non_members.frame["label"]), names, non_members.source.label_map, non_members.source.source
            )
    data = TrainingData(members, non_members, names)
    if names:
        _check_classes(data)
    return data


def _label_names(spec: TrainSpec, members: Dataset) -> tuple[str, ...]:
    return spec.label_names or found_labels(members.frame["label"], members.source.label_map)


def _check_classes(data: TrainingData) -> None:
    present = sorted(set(data.labels))
    if len(present) < 2:
        raise DataError(
            f"{data.members.source.source}: every record has the label {data.label_names[present[0]]!r}; "
            "a classifier needs two classes, widen or shuffle the slice"
        )


def _check_disjoint(members: Dataset, non_members: Dataset) -> None:
    """A held-out record that was trained on would make every membership audit understate the leak."""
    shared = _records(non_members.frame) & _records(members.frame)
    if shared:
        raise DataError(
            f"{non_members.source.source}: {len(shared)} held-out records are also trained on; "
            "take another slice, and set distinct: text on both where the data repeat themselves"
        )


def _records(frame: pd.DataFrame) -> set[tuple[str, str]]:
    pairs = frame["pair"] if "pair" in frame.columns else [""] * len(frame)
    return {(str(text), str(pair)) for text, pair in zip(frame["text"], pairs, strict=True)}
