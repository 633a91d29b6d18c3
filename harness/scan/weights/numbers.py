"""Numbers of tensors as bits: which are not numbers, infinite or zero, without a library that knows their type."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from harness.scan.budget import Budget
from harness.scan.weights.headers import Span

_BLOCK = 4 * 2**20
"""Bytes at a time; a multiple of every item size."""
_WIDE: Mapping[str, tuple[Any, int, int]] = {
    "F64": (np.uint64, 0x7FF0000000000000, 0x000FFFFFFFFFFFFF),
    "F32": (np.uint32, 0x7F800000, 0x007FFFFF),
    "C64": (np.uint32, 0x7F800000, 0x007FFFFF),
    "BF16": (np.uint16, 0x7F80, 0x007F),
    "F16": (np.uint16, 0x7C00, 0x03FF),
    "F8_E5M2": (np.uint8, 0x7C, 0x03),
}
"""Of each format with infinities: integer of its size, bits of the exponent, bits of the fraction (IEEE 754)."""
_ONLY_NAN: Mapping[str, tuple[int, int]] = {"F8_E4M3": (0x7F, 0x7F), "F8_E8M0": (0xFF, 0xFF)}
"""Formats without infinities: mask, and the pattern that is no number (OCP 8-bit floating point, OCP MX)."""
FLOATS = frozenset({*_WIDE, *_ONLY_NAN})
QUANTISED = frozenset({"F4", "F6_E2M3", "F6_E3M2"})
"""Formats that have no pattern for NaN or infinity."""
STORAGES: Mapping[str, str] = {
    "FloatStorage": "F32",
    "DoubleStorage": "F64",
    "HalfStorage": "F16",
    "BFloat16Storage": "BF16",
}
"""Torch's names for storages of floats."""


@dataclass
class Counts:
    """Of one tensor."""

    span: Span
    nan: int = 0
    infinite: int = 0
    zero: bool = True
    constant: bool = True
    """Whether all its numbers are the same, as those of a fresh norm are."""
    digest: bytes = b""


def count_numbers(stream: BinaryIO, span: Span, budget: Budget, on_block: Callable[[int], None]) -> Counts:
    """Read one tensor through. Raises BudgetError, OSError, and ValueError where the file is shorter than it says."""
    counts = Counts(span)
    digest = hashlib.blake2b(digest_size=16)
    stream.seek(span.start)
    left = span.end - span.start
    first: bytes | None = None
    while left:
        block = stream.read(min(_BLOCK, left))
        if not block:
            raise ValueError("the file became shorter while it was read")
        left -= len(block)
        digest.update(block)
        raw = np.frombuffer(block, np.uint8)
        counts.zero = counts.zero and not raw.any()
        first = first if first is not None else block[:8]
        counts.constant = counts.constant and _constant(raw, first, span.dtype)
        nan, infinite = bad_numbers(block, span.dtype)
        counts.nan += nan
        counts.infinite += infinite
        on_block(len(block))
        budget.check()
    counts.digest = digest.digest()
    return counts


def bad_numbers(block: bytes, dtype: str) -> tuple[int, int]:
    """How many are NaN and how many infinite; none for integers."""
    if dtype in _ONLY_NAN:
        mask, pattern = _ONLY_NAN[dtype]
        return int(np.count_nonzero((np.frombuffer(block, np.uint8) & mask) == pattern)), 0
    if dtype not in _WIDE:
        return 0, 0
    kind, exponent, fraction = _WIDE[dtype]
    bits = np.frombuffer(block[: len(block) // np.dtype(kind).itemsize * np.dtype(kind).itemsize], kind)
    full = bits[(bits & kind(exponent)) == kind(exponent)]
    nan = int(np.count_nonzero(full & kind(fraction)))
    return nan, int(full.size) - nan


def duplicates(counted: Iterable[Counts]) -> list[list[Counts]]:
    """Tensors with the same bytes, type and shape, but for constant ones: fresh norms and biases are all alike."""
    groups: dict[tuple[bytes, str, tuple[int, ...]], list[Counts]] = {}
    for each in counted:
        if each.span.numbers > 1 and not each.constant:
            groups.setdefault((each.digest, each.span.dtype, each.span.shape), []).append(each)
    return [group for group in groups.values() if len(group) > 1]


def _constant(raw: Any, first: bytes, dtype: str) -> bool:
    width = {"F64": 8, "I64": 8, "U64": 8, "C64": 8, "F32": 4, "I32": 4, "U32": 4}.get(dtype, 0)
    width = width or (2 if dtype in {"F16", "BF16", "I16", "U16"} else 1)
    if raw.size % width:
        return False
    return bool((raw.reshape(-1, width) == np.frombuffer(first[:width], np.uint8)).all())
