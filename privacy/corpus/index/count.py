"""Counts a string in an index: two binary searches in each block, on files that are mapped and never loaded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, ValidationError

from harness.base.frozen import Frozen
from harness.base.regular import read_bounded
from harness.errors import UsageError
from privacy.corpus.index.blocks import Block, OpenBlock
from privacy.corpus.index.coding import Coding

INDEX_NAME = "index.json"
_NOTE_BYTES = 64 * 2**20
"""Of 300,000 blocks."""


@dataclass(frozen=True, slots=True)
class Count:
    """How often a string is there."""

    occurrences: int
    """Places where it begins; they may overlap."""
    documents: int
    """Documents that hold it: k of a k-eidetic string (Carlini et al. 2021)."""


class IndexNote(Frozen):
    """What is promised of an index; written last."""

    version: int = 1
    digest: str = Field(description="SHA-256 over the digests of its blocks")
    width: int = Field(description="bytes of a unit: 1 of text, 2 or 4 of token ids")
    blocks: tuple[Block, ...]


class Index:
    """An index, open for counting."""

    def __init__(self, folder: Path, note: IndexNote) -> None:
        """Raises UsageError where a block is damaged."""
        self.digest = note.digest
        self.coding = Coding(note.width)
        self.documents = sum(block.documents for block in note.blocks)
        self.bytes = sum(block.bytes for block in note.blocks)
        """Of the documents, with the end of each."""
        self._blocks = [OpenBlock(folder, number, block) for number, block in enumerate(note.blocks)]

    def count(self, wanted: str | Sequence[int]) -> Count:
        """How often `wanted` occurs within documents, exactly. Raises UsageError for nothing, or the wrong kind."""
        if isinstance(wanted, str) and self.coding.width == 1 and "\0" in wanted:
            return Count(0, 0)  # which a model may well write, and no document holds
        content = self.coding.encode(wanted)
        if not content:
            raise UsageError("index: nothing to count; give at least one character or token")
        occurrences, documents = 0, 0
        for block in self._blocks:
            first, last = block.find(content)
            occurrences += last - first
            documents += block.documents(first, last) if last > first else 0
        return Count(occurrences, documents)

    def counts(self, wanted: Iterable[str | Sequence[int]]) -> list[Count]:
        """Of each string."""
        return [self.count(each) for each in wanted]


def open_index(folder: Path) -> Index:
    """The index in `folder`. Raises UsageError: there is none, it is not finished, or it is damaged."""
    note = read_note(folder)
    if note is None:
        raise UsageError(f"{folder}: no finished index; build it, or go on with the command that began it")
    return Index(folder, note)


def read_note(folder: Path) -> IndexNote | None:
    """What is promised of the index in `folder`; None where there is no such promise. Raises UsageError."""
    path = folder / INDEX_NAME
    if not path.exists():
        return None
    try:
        note = IndexNote.model_validate_json(read_bounded(path, _NOTE_BYTES))
    except ValidationError as error:
        raise UsageError(f"{path}: damaged; delete it and build the index again, its blocks are kept") from error
    if note.version != 1:
        raise UsageError(f"{path}: of version {note.version}, this Assay reads 1; build the index again elsewhere")
    return note
