"""Headers of safetensors and GGUF files off a stream: counts are believed only as far as bytes follow.

Formats: https://github.com/huggingface/safetensors, https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from harness.checkpoint.tensors import BITS
from harness.scan.budget import Budget
from harness.scan.json_text import NotJsonError, parse
from harness.scan.notebook import shown

_HEADER_BYTES = 64 * 2**20
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_GGML = {0: "F32", 1: "F16", 28: "F64", 30: "BF16", 24: "I8", 25: "I16", 26: "I32", 27: "I64"}
"""Types stored number by number; the others are quantised blocks."""
_KEPT_STRING = 2**20
_TEMPLATES = 100
_MOST_TENSORS = 1_000_000
_ALIGNMENT = 32


class UnsoundError(Exception):
    """A header that cannot be true; the message says why."""


@dataclass(frozen=True, slots=True)
class Span:
    """One tensor: bytes [start, end) of its file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: str
    start: int
    end: int

    @property
    def numbers(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


@dataclass
class Header:
    """Tensors of a file, and its texts."""

    spans: list[Span]
    texts: dict[str, str] = field(default_factory=dict)
    """Of GGUF: metadata that are text."""
    counts: dict[str, int] = field(default_factory=dict)
    """Of GGUF: metadata that are whole numbers, and lengths of arrays."""


def safetensors_header(stream: BinaryIO, size: int, file: str) -> Header:
    """Raises UnsoundError."""
    length = int.from_bytes(_exactly(stream, 8), "little")
    if length > min(_HEADER_BYTES, size - 8):
        raise UnsoundError(f"its header claims {length:,} bytes")
    try:
        parsed = parse(_exactly(stream, length))
    except NotJsonError as error:
        raise UnsoundError(f"its header is {error}") from error
    if not isinstance(parsed.value, dict):
        raise UnsoundError("its header is no object")
    if parsed.duplicates:
        raise UnsoundError(f"the name {shown(parsed.duplicates[0], 60)!r} stands twice in its header")
    parsed.value.pop("__metadata__", None)
    spans = [_span(name, entry, file, 8 + length) for name, entry in parsed.value.items()]
    expected = 8 + length
    for span in sorted(spans, key=lambda span: (span.start, span.end)):
        if span.start != expected:
            raise UnsoundError(f"tensor {shown(span.name, 60)!r} overlaps another one or leaves a gap")
        expected = span.end
    if expected != size:
        raise UnsoundError(f"it has {size:,} bytes where its header asks for {expected:,}")
    return Header(spans)


def gguf_header(stream: BinaryIO, size: int, file: str, budget: Budget) -> Header:
    """Raises UnsoundError."""
    try:
        return _Gguf(stream, size, file, budget).header()
    except (struct.error, UnicodeError, KeyError, OverflowError) as error:
        raise UnsoundError("its header cannot be read") from error


def _span(name: str, entry: Any, file: str, data: int) -> Span:
    try:
        dtype, shape, (start, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
    except (TypeError, KeyError, ValueError) as error:
        raise UnsoundError(f"tensor {shown(name, 60)!r} has no dtype, shape and offsets") from error
    if not all(type(number) is int and 0 <= number < 2**62 for number in (*shape, start, end)) or len(shape) > 64:
        raise UnsoundError(f"tensor {shown(name, 60)!r} has a shape or offsets that are no natural numbers")
    if not isinstance(dtype, str) or dtype not in BITS:
        raise UnsoundError(f"tensor {shown(name, 60)!r} has the unknown dtype {shown(str(dtype), 20)!r}")
    if (end - start) * 8 != math.prod(shape) * BITS[dtype]:
        raise UnsoundError(f"tensor {shown(name, 60)!r} does not fit its {end - start:,} bytes")
    return Span(name, dtype, shape, file, data + start, data + end)


class _Gguf:
    """Values off a stream, little-endian."""

    def __init__(self, stream: BinaryIO, size: int, file: str, budget: Budget) -> None:
        self._stream, self._size, self._file, self._budget = stream, size, file, budget
        self._at = 0

    def header(self) -> Header:
        if self._take(4) != b"GGUF" or self._value("I") not in (2, 3):
            raise UnsoundError("it is no GGUF of version 2 or 3")
        tensors, values = self._value("Q"), self._value("Q")
        if max(tensors, values) > min(_MOST_TENSORS, self._size // 8):
            raise UnsoundError(f"it claims {tensors:,} tensors and {values:,} settings")
        header = Header([])
        for _ in range(values):
            self._setting(header)
        described = [self._tensor() for _ in range(tensors)]
        step = max(1, header.counts.get("general.alignment", _ALIGNMENT))
        data = math.ceil(self._at / step) * step
        header.spans = list(self._spans(described, data))
        return header

    def _spans(self, described: list[tuple[str, tuple[int, ...], int, int]], data: int) -> Iterator[Span]:
        """Ends of quantised tensors are where the next one begins."""
        begins = [*sorted({offset for *_, offset in described}), self._size - data]
        after = dict(itertools.pairwise(begins))
        for name, shape, kind, offset in described:
            dtype = _GGML.get(kind, f"ggml {kind}")
            start, end = data + offset, data + after[offset]
            if kind in _GGML:
                end = start + math.prod(shape) * BITS[dtype] // 8
            if end > self._size or start > end:
                raise UnsoundError(f"tensor {shown(name, 60)!r} ends beyond the file")
            yield Span(name, dtype, shape, self._file, start, end)

    def _setting(self, header: Header) -> None:
        key = self._text(_KEPT_STRING)
        kind = self._value("I")
        if kind == _STRING:
            header.texts[key] = self._text(_KEPT_STRING)
        elif kind == _ARRAY:
            header.counts[key] = self._array(header, key)
        else:
            value = self._value(_SCALARS[kind])
            if isinstance(value, int) and not isinstance(value, bool):
                header.counts[key] = value

    def _array(self, header: Header, key: str) -> int:
        inner, length = self._value("I"), self._value("Q")
        if length > self._size:
            raise UnsoundError(f"it claims an array of {length:,}")
        if inner in _SCALARS:
            self._skip(length * struct.calcsize(_SCALARS[inner]))
        elif inner == _STRING:
            named = key.startswith("tokenizer.chat_template")
            if named and length > _TEMPLATES:
                raise UnsoundError(f"it holds {length:,} chat templates")
            for number in range(length):
                if number % 65536 == 0:
                    self._budget.check()
                text = self._value("Q")
                if named:
                    if text > _KEPT_STRING:
                        raise UnsoundError(f"it has a text of {text:,} bytes")
                    header.texts[f"{key}.{number}"] = self._take(text).decode("utf-8", "replace")
                else:
                    self._skip(text)
        else:
            raise UnsoundError("it nests arrays")
        return int(length)

    def _tensor(self) -> tuple[str, tuple[int, ...], int, int]:
        name, dimensions = self._text(65536), self._value("I")
        if dimensions > 8:
            raise UnsoundError("a tensor has more than 8 dimensions")
        shape = tuple(self._value("Q") for _ in range(dimensions))
        if any(size >= 2**62 for size in shape):
            raise UnsoundError("a tensor has a dimension that is no size")
        return name, shape[::-1], self._value("I"), self._value("Q")

    def _value(self, form: str) -> Any:
        (value,) = struct.unpack(f"<{form}", self._take(struct.calcsize(f"<{form}")))
        return value

    def _text(self, most: int) -> str:
        length = self._value("Q")
        if length > most:
            raise UnsoundError(f"it has a text of {length:,} bytes")
        return self._take(length).decode("utf-8", "replace")

    def _skip(self, size: int) -> None:
        if size > self._size - self._at:
            raise UnsoundError("a length leads out of the file")
        if size <= 4096:
            self._take(size)
        else:
            self._at += size
            self._stream.seek(self._at)

    def _take(self, size: int) -> bytes:
        if size > self._size - self._at:
            raise UnsoundError("a length leads out of the file")
        self._at += size
        return _exactly(self._stream, size)


def _exactly(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise UnsoundError("it is cut short")
    return data
