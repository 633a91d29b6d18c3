"""Which class of the model a label in the data means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.data import Dataset, DataSource
from harness.errors import DataError
from harness.probe import Plan

_SYNONYMS = {"neg": "negative", "negative": "neg", "pos": "positive", "positive": "pos"}


def true_classes(plan: Plan, name: str, default: DataSource | None) -> list[int]:
    """Class index of each row of the input `name`.

    Raises DataError where the model is no classifier of two or more classes, where a label is none of its classes,
    and where the default source, which has film reviews, is used for a model that does not tell negative from positive.
    """
    labels = plan.checkpoint.labels
    check_classes(labels, plan.checkpoint.source.source)
    dataset = plan.data[name]
    if dataset.source == default and not is_sentiment(labels):
        raise DataError(
            f"the default data are sentiment labels, the model's classes are {_shown(labels)}; "
            f"give data: {{{name}: <source>}}"
        )
    return class_indices(dataset, labels)


def check_classes(labels: Sequence[str], checkpoint: str) -> None:
    """Raises DataError for fewer than two classes: a regression head has no class probabilities."""
    if len(labels) < 2:
        raise DataError(f"{checkpoint}: its head has {len(labels)} outputs, a regression; two or more are needed")


def is_sentiment(labels: Sequence[str]) -> bool:
    """Whether the classes are negative and positive (or neg and pos), in either order and any case."""
    return {_long_form(label) for label in labels} == {"negative", "positive"} and len(labels) == 2


def class_indices(dataset: Dataset, labels: Sequence[str]) -> list[int]:
    """Class index of each row's `label`, after the source's `label_map`.

    Labels that are all names of classes are read as names, whole numbers otherwise as indices; never some as one and
    some as the other, so that '1' means one thing. Raises DataError naming the first row that fits no class.
    """
    mapping = dataset.source.label_map
    shown = [label_text(value) for value in dataset.frame["label"]]
    plain = {value for value in shown if value not in mapping}
    numbers = all(value.removeprefix("-").isdecimal() for value in plain)
    by_index = numbers and not all(class_of_name(value, labels) is not None for value in plain)
    found = []
    for row, value in enumerate(shown):
        if value in mapping:
            index = class_of(mapping[value], labels)
        else:
            index = class_of_number(value, labels) if by_index else class_of_name(value, labels)
        if index is None:
            raise DataError(_misfit(dataset, row, value, mapping.get(value), labels))
        found.append(index)
    return found


def label_text(value: Any) -> str:
    """A label as text; 1, 1.0 and ' 1 ' are the same label."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()


def class_of(value: str, labels: Sequence[str]) -> int | None:
    """Index of the class called `value`, else of the class with that number."""
    index = class_of_name(value, labels)
    return class_of_number(value, labels) if index is None else index


def class_of_name(value: str, labels: Sequence[str]) -> int | None:
    """Index of the class called `value`: letter for letter, else in any case, else by neg/negative and pos/positive."""
    folded = [label.casefold() for label in labels]
    name = value.casefold()
    for wanted, names in ((value, list(labels)), (name, folded), (_SYNONYMS.get(name), folded)):
        if wanted in names:
            return names.index(wanted)
    return None


def class_of_number(value: str, labels: Sequence[str]) -> int | None:
    """`value` as an index, if there is such a class."""
    return int(value) if value.isdecimal() and int(value) < len(labels) else None


def _long_form(label: str) -> str:
    folded = label.casefold()
    return max(folded, _SYNONYMS.get(folded, folded), key=len)


def _misfit(dataset: Dataset, row: int, value: str, mapped: str | None, labels: Sequence[str]) -> str:
    given = repr(value) if mapped is None else f"{value!r} (mapped to {mapped!r})"
    return (
        f"{dataset.source.source}: row {row + 1} of those used has the label {given}, the model's classes are "
        f"{_shown(labels)}; map it with label_map: {{{value}: <class>}}"
    )


def _shown(labels: Sequence[str]) -> str:
    return ", ".join(f"{index} {label!r}" for index, label in enumerate(labels[:20])) + (
        f" and {len(labels) - 20} more" if len(labels) > 20 else ""
    )
