"""Class labels as they stand in data, by name or by index, and the class index they mean."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness.errors import DataError


def label_text(value: Any, label_map: Mapping[str, str]) -> str:
    """A label as text, after `label_map`; 1, 1.0 and '1' are the same label."""
    shown = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()
    return label_map.get(shown, shown)


def found_labels(values: Iterable[Any], label_map: Mapping[str, str]) -> tuple[str, ...]:
    """The different labels, sorted by name; by number when all are whole numbers, so that 10 follows 9."""
    names = {label_text(value, label_map) for value in values}
    if all(name.isdecimal() for name in names):
        return tuple(sorted(names, key=int))
    return tuple(sorted(names))


def label_indices(values: Sequence[Any], names: Sequence[str], label_map: Mapping[str, str], where: str) -> list[int]:
    """Class index of each label: by name, else by index. Raises DataError naming the row of a label that is neither."""
    index = {name: position for position, name in enumerate(names)}
    found = []
    for row, value in enumerate(values):
        name = label_text(value, label_map)
        position = index.get(name)
        if position is None and name.isdecimal() and int(name) < len(names):
            position = int(name)
        if position is None:
            raise DataError(
                f"{where}: row {row + 1} has the label {name!r}, which is not one of {', '.join(names)}; "
                "add it to label_names or map it with label_map"
            )
        found.append(position)
    return found
