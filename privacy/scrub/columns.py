"""Which columns of a file are text: those that the user names, else those that training reads by name."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from harness.base.hints import did_you_mean
from harness.data.streams import Batch, kind_of, stream
from harness.errors import DataError

TEXTS = ("text", "pair", "prompt", "completion")
"""Columns of the training tasks."""
LABEL = "label"
_LISTED = 30
"""Columns that an error names."""


def text_columns(path: Path, wanted: Sequence[str], kind: str | None = None) -> tuple[str, ...]:
    """Columns of a file that are read as text. Raises DataError naming those it has."""
    names = column_names(path, kind)
    if not names:
        raise DataError(f"{path}: the file is empty")
    for name in wanted:
        if name not in names:
            raise DataError(f"{path}: no column {name!r}; it has {_listed(names)}{did_you_mean(name, names)}")
    found = tuple(dict.fromkeys(wanted)) or tuple(name for name in TEXTS if name in names)
    if not found:
        raise DataError(f"{path}: none of the columns {', '.join(TEXTS)}; it has {_listed(names)}; name one: --column")
    return found


def column_names(path: Path, kind: str | None = None) -> tuple[str, ...]:
    """All columns of a file. A jsonl is read to its end: a key may come in its last record, and what it holds counts.

    That takes a few hundredths of what looking for personal data takes.
    """
    batches = stream(path, (), kind)
    names = next(batches).names
    if (kind or kind_of(path)) == "jsonl":
        for batch in batches:
            names = batch.names
    return names


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"{list(names[:_LISTED])}{more}"


def records(
    path: Path, texts: Collection[str], others: Collection[str] = (), kind: str | None = None
) -> Iterator[tuple[list[str], Batch]]:
    """Batches with the texts of each record as one, parts on lines of their own; a missing one is empty."""
    for batch in stream(path, (*texts, *others), kind):
        columns = [batch.columns[name] for name in texts if name in batch.columns]
        joined = ["\n".join(part for part in parts if part) for parts in zip(*columns, strict=True)]
        yield joined or [""] * batch.rows, batch
