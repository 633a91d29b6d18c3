"""Class labels as they stand in training data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from harness.labels import LabelMap, plain_label


def found_labels(values: Iterable[object], label_map: Mapping[str, str]) -> tuple[str, ...]:
    """The different labels, sorted by name; by number when all are whole numbers, so that 10 follows 9."""
    mapped = LabelMap(label_map)
    names = {mapped(str(value)) or plain_label(value) for value in values}
    if all(name.isascii() and name.isdecimal() for name in names):
        return tuple(sorted(names, key=int))
    return tuple(sorted(names))
