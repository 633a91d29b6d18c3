"""Builds an index block by block; one that is there with the same digest is kept, so a build can be gone on with."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from harness.base.files import make_folder, write_text
from harness.base.lock import HeldError, Lock
from harness.errors import UsageError
from privacy.corpus.index.blocks import Block, block_path, write_block
from privacy.corpus.index.coding import TEXT, Coding
from privacy.corpus.index.count import INDEX_NAME, Index, IndexNote, open_index

BLOCK_BYTES = 64 * 2**20
"""Of text: sorted in some 350 MiB of memory; a query searches 16 blocks for each gigabyte."""
_MOST_BYTES = 2**30
"""Positions are 32-bit numbers; a block of a gigabyte takes five to sort."""


def build_index(
    documents: Iterable[str | Sequence[int]],
    folder: Path,
    *,
    coding: Coding = TEXT,
    block_bytes: int = BLOCK_BYTES,
    on_block: Callable[[Block, bool], None] = lambda block, written: None,
) -> Index:
    """The index of some documents in `folder`, for its owner's eyes: it holds their text.

    Memory: about six times the larger of `block_bytes` and the longest document. The same documents give the same
    digest; blocks that are there already are not sorted again.

    Args:
        documents: texts, or token ids with a coding of 2 or 4 bytes.
        folder: of this index alone.
        coding: how documents become bytes.
        block_bytes: of text that is sorted at once.
        on_block: called with each block, and whether it had to be sorted.

    Raises:
        UsageError: the sorter is missing, the folder holds something else or is in use, a document cannot be held.
    """
    if not 1 <= block_bytes <= _MOST_BYTES:
        raise UsageError(f"index: blocks of {block_bytes:,} bytes; choose between 1 and {_MOST_BYTES:,}")
    _check_folder(make_folder(folder))
    lock = _locked(folder)
    try:
        for path in folder.glob(".block-*"):  # of a build that was killed while it wrote
            path.unlink()
        blocks = []
        for number, (text, starts) in enumerate(_blocks(documents, coding, block_bytes)):
            block, written = write_block(folder, number, text, starts, coding.width, folder / INDEX_NAME)
            on_block(block, written)
            blocks.append(block)
        _finish(folder, blocks, coding)
    finally:
        lock.release()
    return open_index(folder)


def _blocks(
    documents: Iterable[str | Sequence[int]], coding: Coding, most: int
) -> Iterator[tuple[bytearray, list[int]]]:
    """Whole documents, as many as fit; one that is longer than a block is a block of its own."""
    text, starts = bytearray(), list[int]()
    for document in documents:
        content = coding.encode(document) + coding.end
        if len(content) > _MOST_BYTES:
            raise UsageError(f"index: document {len(starts) + 1} of a block is over {_MOST_BYTES:,} bytes; divide it")
        if starts and len(text) + len(content) > most:
            yield text, starts
            text, starts = bytearray(), []
        starts.append(len(text))
        text += content
    if starts:
        yield text, starts


def _finish(folder: Path, blocks: Sequence[Block], coding: Coding) -> None:
    """Take away what an earlier, longer index left, and promise the rest."""
    number = len(blocks)
    while any(block_path(folder, number, part).exists() for part in _PARTS):
        (folder / INDEX_NAME).unlink(missing_ok=True)
        for part in _PARTS:
            block_path(folder, number, part).unlink(missing_ok=True)
        number += 1
    digest = hashlib.sha256("".join(block.digest for block in blocks).encode()).hexdigest()
    note = IndexNote(digest=digest, width=coding.width, blocks=tuple(blocks))
    write_text(folder / INDEX_NAME, note.model_dump_json(indent=2) + "\n", private=True)


_PARTS = ("json", "text", "suffixes", "starts")
_LOCK_NAME = "lock"


def _check_folder(folder: Path) -> None:
    """Raises UsageError where something else lies in it, which could be overwritten."""
    for path in folder.iterdir():
        ours = path.name in (INDEX_NAME, _LOCK_NAME) or path.name.startswith(("block-", f".{INDEX_NAME}.", ".block-"))
        if not ours:
            raise UsageError(f"{folder}: holds {path.name[:60]!r}, which is no part of an index; choose a new folder")


def _locked(folder: Path) -> Lock:
    try:
        return Lock(folder / _LOCK_NAME)
    except HeldError as error:
        raise UsageError(f"{folder}: is being built by process {error}; wait, or choose another folder") from error
