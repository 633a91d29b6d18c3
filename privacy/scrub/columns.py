"""Which columns of a file are text: those that the user names, else those that training reads by name."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from harness.base.hints import did_you_mean
from harness.data.streams import Batch, stream
from harness.errors import DataError

TEXTS = ("text", "pair", "prompt", "completion")
"""Columns of the training tasks."""
LABEL = "label"


def text_columns(path: Path, wanted: Sequence[str], kind: str | None = None) -> tuple[str, ...]:
    """Columns of a file that are read as text. Raises DataError naming those it has.

    A jsonl is asked by its first records.
    """
    first = next(stream(path, (), kind))
    if not first.names:
        raise DataError(f"{path}: the file is empty")
    for name in wanted:
        if name not in first.names:
            raise DataError(f"{path}: no column {name!r}; it has {list(first.names)}{did_you_mean(name, first.names)}")
    found = tuple(dict.fromkeys(wanted)) or tuple(name for name in TEXTS if name in first.names)
    if not found:
        raise DataError(
            f"{path}: none of the columns {', '.join(TEXTS)}; it has {list(first.names)}; name one: --column"
        )
    return found


def records(
    path: Path, texts: Collection[str], others: Collection[str] = (), kind: str | None = None
) -> Iterator[tuple[list[str], Batch]]:
    """Batches with the texts of each record as one, parts on lines of their own; a missing one is empty."""
    for batch in stream(path, (*texts, *others), kind):
        columns = [batch.columns[name] for name in texts if name in batch.columns]
        joined = ["\n".join(part for part in parts if part) for parts in zip(*columns, strict=True)]
        yield joined or [""] * batch.rows, batch
