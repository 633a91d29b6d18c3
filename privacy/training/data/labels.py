"""Class labels as they stand in training data, and the class names that a private training may use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from harness.api.needs import Need
from harness.checkpoint import CheckpointInfo, inspect_checkpoint
from harness.data.datasets import Dataset
from harness.data.labels import LabelMap, fixed_class, plain_label, shown
from harness.errors import DataError, UsageError
from privacy.training.settings.spec import TrainSpec


def found_labels(values: Iterable[object], label_map: Mapping[str, str]) -> tuple[str, ...]:
    """The different labels, sorted by name; by number when all are whole numbers, so that 10 follows 9."""
    mapped = LabelMap(label_map)
    names = {mapped(str(value)) or plain_label(value) for value in values}
    if all(name.isascii() and name.isdecimal() for name in names):
        return tuple(sorted(names, key=int))
    return tuple(sorted(names))


def public_names(spec: TrainSpec, base: CheckpointInfo | None) -> tuple[str, ...]:
    """Class names that no private record decides: the spec's, else those of a base that is a classifier.

    Raises UsageError where neither names any: the names found in the records would be published in config.json, those
    of a single record among them.
    """
    if spec.label_names:
        return spec.label_names
    if base is None and spec.base is not None:
        base = inspect_checkpoint(spec.base)
    if base is not None and Need.SEQUENCE_CLASSIFIER in base.offers and base.labels:
        return base.labels
    raise UsageError(
        "label_names: with privacy the class names may not be read from the records, since they are published with the "
        "model; list them (label_names: [negative, positive]), or name a public file with one on each line "
        "(label_names: {file: labels.txt})"
    )


def known_classes(dataset: Dataset, names: tuple[str, ...]) -> list[int | None]:
    """Class index of each row by its own label alone; None where that is no class."""
    used = dataset.labels.used
    known = {value: fixed_class(value, names, dataset.source.label_map) for value in set(used)}
    return [known[value] for value in used]


def fixed_classes(dataset: Dataset, names: tuple[str, ...]) -> list[int]:
    """The same; raises DataError naming the first row whose label is no class."""
    found: list[int] = []
    for row, known in enumerate(known_classes(dataset, names)):
        if known is None:
            label = str(dataset.frame["label"].iloc[row])
            raise DataError(
                f"{dataset.source.source}: row {row + 1} of those used has the label {label!r}, the classes are "
                f"{shown(names)}; with privacy each label is read by itself and no number as a class: map it with "
                f"label_map: {{{label}: <class>}}, or leave such records out with privacy.other_labels: drop"
            )
        found.append(known)
    return found
