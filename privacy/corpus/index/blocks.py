"""One block of an index on disk: whole documents, the order of all their suffixes, and where each document starts."""

from __future__ import annotations

import hashlib
import json
import mmap
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from harness.base.files import write_atomic, write_text
from harness.base.frozen import Frozen
from harness.base.regular import read_bounded
from harness.errors import UsageError

_POSITION = np.dtype("<i4")
_NOTE_BYTES = 2**16
_AT_ONCE = 2**20
"""Suffixes whose documents are looked up at once: 8 MiB of positions."""
MISSING = "the index needs the package pydivsufsort; pip install 'assay[data]'"


class Block(Frozen):
    """What is promised of a block's files; written after them."""

    digest: str = Field(description="SHA-256 of its text")
    bytes: int = Field(ge=1)
    documents: int = Field(ge=1)
    width: int = Field(ge=1, le=4)


def block_path(folder: Path, number: int, part: str) -> Path:
    """Path of a part (text, suffixes, starts, json) of a block."""
    return folder / f"block-{number:06d}.{part}"


def write_block(
    folder: Path, number: int, text: bytearray, starts: list[int], width: int, promise: Path
) -> tuple[Block, bool]:
    """Sort and write a block, or keep it where it is there already; whether it was written.

    Args:
        folder: of the index.
        number: of the block, from 0.
        text: documents, each with its end.
        starts: byte at which each begins.
        width: bytes of a unit.
        promise: file that says that the index is whole; taken away before a block is replaced.
    """
    block = Block(digest=hashlib.sha256(text).hexdigest(), bytes=len(text), documents=len(starts), width=width)
    if read_block(folder, number) == block and _whole(folder, number, block):
        return block, False
    promise.unlink(missing_ok=True)
    block_path(folder, number, "json").unlink(missing_ok=True)
    write_atomic(block_path(folder, number, "text"), lambda path: _write(path, text), private=True)
    positions = np.array(starts, dtype=_POSITION)
    write_atomic(block_path(folder, number, "starts"), positions.tofile, private=True)
    write_atomic(block_path(folder, number, "suffixes"), _suffixes(text, width).tofile, private=True)
    write_text(block_path(folder, number, "json"), block.model_dump_json() + "\n", private=True)
    return block, True


def read_block(folder: Path, number: int) -> Block | None:
    """What is promised of a block; None where it is not finished, or damaged."""
    path = block_path(folder, number, "json")
    try:
        return Block.model_validate(json.loads(read_bounded(path, _NOTE_BYTES)))
    except (UsageError, ValueError, ValidationError):
        return None


class OpenBlock:
    """A block, mapped into memory: only the pages that a search touches are read."""

    def __init__(self, folder: Path, number: int, block: Block) -> None:
        """Raises UsageError where its files are not what was promised."""
        if not _whole(folder, number, block):
            raise UsageError(f"{folder}: block {number} is damaged; build the index again, the other blocks are kept")
        with block_path(folder, number, "text").open("rb") as file:
            self._text = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._suffixes: NDArray[Any] = np.memmap(block_path(folder, number, "suffixes"), _POSITION, "r")
        self._starts: NDArray[Any] = np.memmap(block_path(folder, number, "starts"), _POSITION, "r")

    def find(self, wanted: bytes) -> tuple[int, int]:
        """(first, after the last) place in the order of suffixes of those that begin with `wanted`."""
        return self._bound(wanted, after=False), self._bound(wanted, after=True)

    def documents(self, first: int, last: int) -> int:
        """How many documents the suffixes at these places lie in."""
        found = np.zeros(len(self._starts), dtype=bool)
        for begin in range(first, last, _AT_ONCE):
            positions = self._suffixes[begin : min(begin + _AT_ONCE, last)]
            found[np.searchsorted(self._starts, positions, side="right") - 1] = True
        return int(found.sum())

    def _bound(self, wanted: bytes, *, after: bool) -> int:
        low, high, size = 0, len(self._suffixes), len(wanted)
        suffixes, text = self._suffixes, self._text
        while low < high:
            middle = (low + high) // 2
            at = int(suffixes[middle])
            here = text[at : at + size]
            if here < wanted or (after and here == wanted):
                low = middle + 1
            else:
                high = middle
        return low


def _suffixes(text: bytearray, width: int) -> NDArray[Any]:
    """Positions of all suffixes that begin with a unit, in order. Raises UsageError where the sorter is missing."""
    try:
        from pydivsufsort import divsufsort
    except ImportError:
        raise UsageError(MISSING) from None
    order: NDArray[Any] = divsufsort(text)
    if width > 1:
        order = order[order % width == 0]
    return order.astype(_POSITION, copy=False)


def _whole(folder: Path, number: int, block: Block) -> bool:
    sizes = {
        "text": block.bytes,
        "suffixes": block.bytes // block.width * _POSITION.itemsize,
        "starts": block.documents * _POSITION.itemsize,
    }
    paths = {part: block_path(folder, number, part) for part in sizes}
    return all(paths[part].is_file() and paths[part].stat().st_size == size for part, size in sizes.items())


def _write(path: Path, text: bytearray) -> None:
    path.write_bytes(text)
