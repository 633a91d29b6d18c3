"""The header of a GGUF file, read within the file's bounds before any library trusts its counts.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import math
import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.checkpoint.tensors import Tensor
from harness.errors import CheckpointError

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """Scalars and strings of the metadata, lengths of its arrays, and the tensors."""

    metadata: dict[str, Any]
    tensors: tuple[Tensor, ...]

    @property
    def architecture(self) -> str:
        """E.g. 'llama'; prefix of the model's own keys."""
        return str(self.metadata.get("general.architecture", ""))

    def count(self, key: str) -> int | None:
        """An integer of the model, e.g. 'context_length'."""
        value = self.metadata.get(f"{self.architecture}.{key}")
        return value if isinstance(value, int) else None


def read_gguf(file: Path) -> GgufHeader:
    """Raises CheckpointError when the file is not GGUF, is cut short, or its counts cannot be true."""
    sizes = _block_sizes(file)
    try:
        with file.open("rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as data:
            header = _Reader(data).header(file, sizes)
            _check_cover(file, header, len(data), sizes)
    except (OSError, ValueError, struct.error, KeyError, OverflowError) as error:
        raise _corrupt(file, "its header cannot be read") from error
    return header


class _Reader:
    """Little-endian values off a buffer; struct.error at its end."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data, self.at = data, 0

    def value(self, form: str) -> Any:
        (value,) = struct.unpack_from(f"<{form}", self.data, self.at)
        self.at += struct.calcsize(f"<{form}")
        return value

    def text(self) -> str:
        length = self.value("Q")
        self.within(length)
        raw = self.data[self.at : self.at + length]
        self.at += length
        return raw.decode("utf-8", errors="replace")

    def within(self, length: int) -> None:
        if length > len(self.data) - self.at:
            raise ValueError("a length leaves the file")

    def metadata_value(self, kind: int) -> Any:
        """A scalar or string; of an array only its length, since vocabularies are not needed here."""
        if kind == _STRING:
            return self.text()
        if kind != _ARRAY:
            return self.value(_SCALARS[kind])
        inner, length = self.value("I"), self.value("Q")
        self.within(length)
        if inner in _SCALARS:
            self.within(length * struct.calcsize(_SCALARS[inner]))
            self.at += length * struct.calcsize(_SCALARS[inner])
        elif inner == _STRING:
            for _ in range(length):
                self.at += 8 + int(struct.unpack_from("<Q", self.data, self.at)[0])
        else:
            raise ValueError("nested arrays")
        return length

    def header(self, file: Path, sizes: dict[int, tuple[int, int]]) -> GgufHeader:
        if self.data[:4] != b"GGUF":
            raise _corrupt(file, "it does not start with GGUF")
        self.at = 4
        if self.value("I") not in (2, 3):
            raise _corrupt(file, "its version is neither 2 nor 3")
        n_tensors, n_values = self.value("Q"), self.value("Q")
        self.within(n_tensors)
        self.within(n_values)
        metadata = {}
        for _ in range(n_values):
            key = self.text()
            metadata[key] = self.metadata_value(self.value("I"))
        described = [self._tensor() for _ in range(n_tensors)]
        step = max(1, int(metadata.get("general.alignment", 32)))
        data = math.ceil(self.at / step) * step
        return GgufHeader(
            metadata,
            tuple(
                Tensor(name, str(kind), shape, file, data + offset, data + offset + _bytes(shape, kind, sizes))
                for name, shape, kind, offset in described
            ),
        )

    def _tensor(self) -> tuple[str, tuple[int, ...], int, int]:
        """Name, shape (outermost dimension first), ggml type, offset in the data."""
        name, dimensions = self.text(), self.value("I")
        if dimensions > 8:
            raise ValueError("too many dimensions")
        shape = tuple(self.value("Q") for _ in range(dimensions))
        return name, shape[::-1], self.value("I"), self.value("Q")


def _block_sizes(file: Path) -> dict[int, tuple[int, int]]:
    """Ggml type -> (numbers, bytes) of one block."""
    try:
        from gguf.constants import GGML_QUANT_SIZES
    except ImportError as error:
        raise CheckpointError(f"{file}: reading GGUF needs the gguf package; pip install 'assay[gguf]'") from error
    return {int(kind): size for kind, size in GGML_QUANT_SIZES.items()}


def _bytes(shape: tuple[int, ...], kind: int, sizes: dict[int, tuple[int, int]]) -> int:
    numbers, size = sizes[kind]
    return math.ceil(math.prod(shape) / numbers) * size


def _check_cover(file: Path, header: GgufHeader, total: int, sizes: dict[int, tuple[int, int]]) -> None:
    if not header.tensors:
        raise _corrupt(file, "it holds no tensors")
    beyond = next((tensor for tensor in header.tensors if tensor.end > total), None)
    if beyond is not None:
        raise _corrupt(file, f"it ends within or before tensor {beyond.name!r}")
    expected = -1
    for tensor in sorted(header.tensors, key=lambda tensor: tensor.start):
        if tensor.start < expected:
            raise _corrupt(file, f"tensor {tensor.name!r} overlaps another one")
        expected = tensor.end
    layers = header.count("block_count")
    if layers is not None and layers > len(header.tensors):
        raise _corrupt(file, f"it claims {layers:,} blocks but holds {len(header.tensors):,} tensors")


def _corrupt(file: Path, why: str) -> CheckpointError:
    return CheckpointError(f"{file}: not a sound GGUF file, {why}; download it again")
