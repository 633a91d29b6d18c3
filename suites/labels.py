"""Which class of the model a label in the data means."""

from __future__ import annotations

from collections.abc import Sequence

from harness.api.probe import Plan
from harness.data.datasets import Dataset, DataSource
from harness.data.labels import class_of as class_of
from harness.data.labels import is_sentiment as is_sentiment
from harness.data.labels import shown
from harness.errors import DataError, NoDataError


def true_classes(plan: Plan, name: str, default: DataSource | None) -> list[int]:
    """Class index of each row of the input `name`.

    Raises DataError where the model is no classifier of two or more classes, where a label is none of its classes,
    and where the default source, which has film reviews, is used for a model that does not tell negative from positive.
    """
    labels = plan.checkpoint.labels
    check_classes(labels, plan.checkpoint.source.source)
    dataset = plan.data[name]
    if dataset.source == default and not is_sentiment(labels):
        raise NoDataError(
            f"the default data are sentiment labels, the model's classes are {shown(labels)}; "
            f"give data: {{{name}: <source>}}"
        )
    return class_indices(dataset, labels)


def check_classes(labels: Sequence[str], checkpoint: str) -> None:
    """Raises DataError for fewer than two classes: a regression head has no class probabilities."""
    if len(labels) < 2:
        raise DataError(f"{checkpoint}: its head has {len(labels)} outputs, a regression; two or more are needed")


def class_indices(dataset: Dataset, labels: Sequence[str]) -> list[int]:
    """Class index of each row's `label`, see `harness.data.labels`. Raises DataError."""
    return dataset.labels.classes(labels)
