"""Tensors as their file's header describes them: checked against the file, nothing loaded.

Format: https://github.com/huggingface/safetensors (8 bytes little-endian header length, JSON header, data).
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.base.confined import open_regular
from harness.checkpoint.files import Layout, allowed_in
from harness.errors import CheckpointError

BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16,
    "I32": 32, "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64, "C64": 64, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
}  # fmt: skip
MAX_HEADER_BYTES = 16 * 2**20
"""The library itself reads 100 MB; 100,000 tensors take 12 MB."""
MAX_FILE_BYTES = 200 * 2**30
"""One weight file. 70 billion numbers of 2 bytes are 140 GB; larger ones come in shards."""
_NAME = 500
_HEAD = re.compile(r"(^|\.)(classifier|score|logits_proj|sequence_summary\.summary)\.")
_DIMENSIONS = 8


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of a file: `dtype` in the file's own words, bytes [start, end) of the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: Path
    start: int
    end: int

    @property
    def size(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


def read_tensors(layout: Layout) -> tuple[Tensor, ...]:
    """Tensors of all safetensors files, sorted by name. Raises CheckpointError naming the corrupt file."""
    tensors = [tensor for file in layout.files for tensor in read_header(file)]
    by_name = {tensor.name: tensor for tensor in tensors}
    if len(by_name) < len(tensors):
        raise CheckpointError(f"{layout.folder}: two shards hold a tensor of the same name; download it again")
    if layout.index is not None:
        _check_index(layout.folder, layout.index, by_name)
    return tuple(by_name[name] for name in sorted(by_name))


def most_labels(tensors: Iterable[Tensor]) -> int:
    """Outputs of the largest classifier head among tensors; 0 where there is none."""
    rows = [tensor.shape[0] for tensor in tensors if len(tensor.shape) == 2 and _HEAD.search(tensor.name)]
    return max(rows, default=0)


def read_header(file: Path) -> list[Tensor]:
    """Tensors of one safetensors file. Raises CheckpointError when the header does not fit the file exactly."""
    try:
        with open_regular(file, MAX_FILE_BYTES, allowed_in(file.parent)) as handle:
            total = os.fstat(handle.fileno()).st_size
            length = int.from_bytes(handle.read(8), "little")
            if total < 8 or length > min(MAX_HEADER_BYTES, total - 8):
                raise _corrupt(file, "its header is cut short")
            header = json.loads(handle.read(length), object_pairs_hook=_unique)
    except OSError as error:
        raise CheckpointError(f"{file}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise _corrupt(file, "its header is not JSON") from error
    if not isinstance(header, dict):
        raise _corrupt(file, "its header is not an object")
    header.pop("__metadata__", None)
    tensors = [_tensor(file, name, entry, 8 + length) for name, entry in header.items()]
    _check_cover(file, tensors, 8 + length, total)
    return tensors


def _tensor(file: Path, name: str, entry: Any, data: int) -> Tensor:
    try:
        dtype, shape, (start, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
    except (TypeError, KeyError, ValueError) as error:
        raise _corrupt(file, f"tensor {name!r} has no dtype, shape and offsets") from error
    if len(name) > _NAME or len(shape) > _DIMENSIONS:
        raise _corrupt(file, f"tensor {name[:60]!r} has a name or a shape longer than any real one")
    if not all(type(number) is int and number >= 0 for number in (*shape, start, end)):
        raise _corrupt(file, f"tensor {name!r} has a shape or offsets that are not natural numbers")
    if not isinstance(dtype, str) or dtype not in BITS:
        raise _corrupt(file, f"tensor {name!r} has the unknown dtype {str(dtype)[:20]!r}")
    if (end - start) * 8 != math.prod(shape) * BITS[dtype]:
        raise _corrupt(file, f"tensor {name!r} of shape {list(shape)} does not fit its {end - start} bytes")
    return Tensor(name, dtype, shape, file, data + start, data + end)


def _check_cover(file: Path, tensors: list[Tensor], data: int, total: int) -> None:
    """Tensors must cover the data without overlap or gap; then a lying header cannot point elsewhere."""
    if not tensors:
        raise _corrupt(file, "it holds no tensors")
    expected = data
    for tensor in sorted(tensors, key=lambda tensor: (tensor.start, tensor.end)):
        if tensor.start != expected:
            raise _corrupt(file, f"tensor {tensor.name!r} overlaps another one or leaves a gap")
        expected = tensor.end
    if expected != total:
        raise _corrupt(file, f"it has {total:,} bytes where its header asks for {expected:,}")


def _check_index(folder: Path, index: dict[str, str], by_name: dict[str, Tensor]) -> None:
    lost = [name for name, file in index.items() if name not in by_name or by_name[name].file.name != file]
    if lost:
        raise CheckpointError(
            f"{folder / index[lost[0]]}: lacks tensor {lost[0]!r}{_more(lost)} that the shard index promises; "
            "download it again"
        )


def _more(names: list[str]) -> str:
    return f" and {len(names) - 1} more" if len(names) > 1 else ""


def _unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    items = list(pairs)
    result = dict(items)
    if len(result) < len(items):
        raise ValueError("a name occurs twice")
    return result


def _corrupt(file: Path, why: str) -> CheckpointError:
    return CheckpointError(f"{file}: not a sound safetensors file, {why}; download it again")
