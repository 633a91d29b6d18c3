"""Numbers by their bits in every format, and headers that lie."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.scan.finding import Outcome
from harness.scan.weights.numbers import bad_numbers
from tests.harness.scan.inputs import edit, found, safetensors, scan, write

BITS = {
    "F64": (8, 0x7FF8000000000000, 0x7FF0000000000000, 0x7FEFFFFFFFFFFFFF),
    "F32": (4, 0x7FC00000, 0xFF800000, 0x7F7FFFFF),
    "F16": (2, 0x7E00, 0xFC00, 0x7BFF),
    "BF16": (2, 0x7FC0, 0xFF80, 0x7F7F),
    "F8_E5M2": (1, 0x7D, 0xFC, 0x7B),
    "F8_E4M3": (1, 0xFF, None, 0x7E),
    "F8_E8M0": (1, 0xFF, None, 0x7F),
}
"""Item size; a NaN, an infinity and the largest number."""


@pytest.mark.parametrize("dtype", BITS)
def test_numbers_that_are_none(dtype: str) -> None:
    size, nan, infinity, largest = BITS[dtype]
    content = b"".join(number.to_bytes(size, "little") for number in (0, largest, nan, nan, infinity or 0, 1))
    assert bad_numbers(content, dtype) == (2, 0 if infinity is None else 1)


def test_the_counts_are_those_of_numpy() -> None:
    bits = np.random.default_rng(0).integers(0, 2**32, 100_000, np.uint32)
    numbers = bits.view(np.float32)
    assert bad_numbers(bits.tobytes(), "F32") == (int(np.isnan(numbers).sum()), int(np.isinf(numbers).sum()))
    half = bits.view(np.float16)
    assert bad_numbers(bits.tobytes(), "F16") == (int(np.isnan(half).sum()), int(np.isinf(half).sum()))


@pytest.mark.parametrize("dtype", ["I8", "I64", "BOOL", "F4"])
def test_formats_without_such_numbers(dtype: str) -> None:
    assert bad_numbers(b"\xff" * 64, dtype) == (0, 0)


def test_a_nan_at_the_very_end_of_many_blocks(tmp_path: Path) -> None:
    numbers = np.zeros(3 * 2**20 + 5, np.float32)
    numbers[-1] = np.nan
    write(tmp_path, "model.safetensors", safetensors({"a": ("F32", [numbers.size], numbers.tobytes())}))
    assert found(scan(tmp_path)) == {"weights/nan"}
    assert found(scan(tmp_path, weights=False)) == set()


def test_constant_tensors_are_no_duplicates(tmp_path: Path) -> None:
    ones, other = np.ones(4, np.float32).tobytes(), np.arange(4, dtype=np.float32).tobytes()
    content = {"a": ("F32", [4], ones), "b": ("F32", [4], ones), "c": ("F32", [2, 2], other), "d": ("F32", [4], other)}
    write(tmp_path, "model.safetensors", safetensors(content))
    assert not any(finding.rule == "weights/duplicate" for finding in scan(tmp_path).findings)


def header(tensors: Any, data: bytes = b"") -> bytes:
    text = tensors if isinstance(tensors, bytes) else json.dumps(tensors).encode()
    return struct.pack("<Q", len(text)) + text + data


@pytest.mark.parametrize(
    "content",
    [
        header({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, bytes(4)),
        header({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}, bytes(8)),
        header({"a": {"dtype": "F99", "shape": [1], "data_offsets": [0, 4]}}, bytes(4)),
        header({"a": {"dtype": ["F32"], "shape": [1], "data_offsets": [0, 4]}}, bytes(4)),
        header({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}, bytes(4)),
        header({"a": {"dtype": "F32", "shape": [1.0], "data_offsets": [0, 4]}}, bytes(4)),
        header({"a": {"dtype": "F32", "shape": [2**61, 2**61], "data_offsets": [0, 4]}}, bytes(4)),
        header({"a": 3}),
        header(b"{" + b'"a":{' * 10_000),
        header(
            b'{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}'
        ),
        b"GGUF" + struct.pack("<IQQ", 3, 2**60, 0),
        b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 2**62),
        b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q3sIIQ", 3, b"a.b", 9, 8, 2**50),
        b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q3sI", 3, b"a.b", 99),
        b"GGUF" + struct.pack("<I", 99),
    ],
)
def test_headers_that_lie_are_found_and_never_clean(content: bytes, tmp_path: Path) -> None:
    write(tmp_path, "model.safetensors", content)
    report = scan(tmp_path)
    assert "weights/unsound" in found(report)
    assert report.unscanned


def test_weights_against_their_index(tmp_path: Path) -> None:
    write(tmp_path, "one.safetensors", safetensors({"a": ("F32", [1], bytes(4))}))
    edit(tmp_path, "model.safetensors.index.json", weight_map={"a": "one.safetensors"})
    assert scan(tmp_path).outcome is Outcome.CLEAN
    assert {record.path for record in scan(tmp_path).files if record.fingerprint} == {
        "one.safetensors",
        "model.safetensors.index.json",
    }
    edit(tmp_path, "model.safetensors.index.json", weight_map={"a": "one.safetensors", "b": "one.safetensors"})
    assert found(scan(tmp_path)) == {"reference/missing"}
    edit(tmp_path, "model.safetensors.index.json", weight_map={"a": "../one.safetensors"})
    assert found(scan(tmp_path)) == {"reference/leaves"}
    edit(tmp_path, "model.safetensors.index.json", weight_map=["one.safetensors"])
    assert found(scan(tmp_path)) == {"settings/odd-number"}


def test_counts_against_the_tensors(tmp_path: Path) -> None:
    tensors = {f"bert.encoder.layer.{number}.weight": ("F32", [2], b"abcdefgh") for number in range(3)}
    write(tmp_path, "model.safetensors", safetensors(tensors))
    edit(tmp_path, "config.json", num_hidden_layers=3, model_type="bert")
    assert scan(tmp_path).outcome is Outcome.CLEAN
    edit(tmp_path, "config.json", num_hidden_layers=4)
    assert found(scan(tmp_path)) == {"resources/count"}
    edit(tmp_path, "config.json", num_hidden_layers=2)
    assert found(scan(tmp_path)) == {"weights/unused"}
    edit(tmp_path, "config.json", num_hidden_layers=3, vocab_size=50_000)
    assert found(scan(tmp_path)) == {"resources/count"}
