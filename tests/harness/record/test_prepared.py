"""Prepared state on disk: made once, the same when read back, made again where it is damaged."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.api.prepared import Unkept
from harness.errors import AuditError
from harness.record.prepared import KeptOnDisk, prepared_digest


class Maker:
    """Counts how often it is asked."""

    def __init__(self, value: Any) -> None:
        self.value, self.calls = value, 0

    def __call__(self) -> Any:
        self.calls += 1
        return self.value


VALUES = [{"a": [1, 2.5, None]}, None, "text", (1, 2), float("inf"), ""]


@pytest.mark.parametrize("value", VALUES)
def test_a_value_is_made_once_and_read_back_the_same(tmp_path: Path, value: Any) -> None:
    make = Maker(value)
    first = KeptOnDisk(tmp_path / "s").value("name", make)
    assert KeptOnDisk(tmp_path / "s").value("name", make) == first == json.loads(json.dumps(value))
    assert make.calls == 1
    assert Unkept().value("name", make) == first
    assert KeptOnDisk(tmp_path / "s").value("other name", lambda: 7) == 7


def test_arrays_keep_values_and_kinds(tmp_path: Path) -> None:
    arrays = {"v": np.arange(6, dtype=np.float32).reshape(2, 3).T, "i": np.array([1, -2]), "none": np.empty((0, 4))}
    make = Maker(arrays)
    KeptOnDisk(tmp_path / "s").arrays("name", make)
    found = KeptOnDisk(tmp_path / "s").arrays("name", make)
    assert make.calls == 1
    assert {key: (value.dtype, value.shape) for key, value in found.items()} == {
        key: (value.dtype, value.shape) for key, value in arrays.items()
    }
    assert all((found[key] == arrays[key]).all() for key in arrays)
    assert KeptOnDisk(tmp_path / "s").value("name", lambda: "a value of that name is another thing") != found
    assert not list(tmp_path.rglob("*.pkl"))
    assert {file.suffix for file in (tmp_path / "s").iterdir()} == {".json", ".safetensors"}
    assert (tmp_path / "s").stat().st_mode & 0o077 == 0


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def gone(path: Path) -> None:
    path.unlink()


def other_json(path: Path) -> None:
    path.write_text('["text"]')


@pytest.mark.parametrize("damage", [cut, flipped, emptied, gone, other_json])
@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
def test_what_is_damaged_is_made_again(tmp_path: Path, damage: Callable[[Path], None], suffix: str) -> None:
    store, make = KeptOnDisk(tmp_path / "s"), Maker({"v": np.arange(50.0)})
    store.arrays("name", make)
    (path,) = (tmp_path / "s").glob(f"*{suffix}")
    damage(path)
    assert (store.arrays("name", make)["v"] == np.arange(50.0)).all()
    assert make.calls == 2
    store.arrays("name", make)
    assert make.calls == 2


@pytest.mark.parametrize("damage", [cut, flipped, emptied, gone, other_json])
def test_a_damaged_value_is_made_again(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    store, make = KeptOnDisk(tmp_path / "s"), Maker({"found": "the word " * 20})
    store.value("name", make)
    (path,) = (tmp_path / "s").iterdir()
    damage(path)
    assert store.value("name", make) == make.value
    assert (make.calls, store.value("name", make)) == (2, make.value)


def test_another_name_s_entry_is_not_taken(tmp_path: Path) -> None:
    store = KeptOnDisk(tmp_path / "s")
    store.value("a", lambda: 1)
    (path,) = (tmp_path / "s").iterdir()
    content = path.read_bytes()
    store.value("b", lambda: 2)
    (other,) = (file for file in (tmp_path / "s").iterdir() if file != path)
    other.write_bytes(content)
    assert store.value("b", lambda: 3) == 3


def test_nothing_is_kept_of_what_fails_and_afresh_trusts_nothing(tmp_path: Path) -> None:
    store = KeptOnDisk(tmp_path / "s")
    with pytest.raises(ZeroDivisionError):
        store.value("name", lambda: 1 // 0)
    with pytest.raises(AuditError, match="what is kept under 'name' is no JSON value"):
        store.value("name", lambda: {1, 2})
    assert store.value("name", lambda: "planted") == "planted"
    assert KeptOnDisk(tmp_path / "s", afresh=True).value("name", lambda: "ours") == "ours"


def test_what_nobody_made_is_one_sentence(tmp_path: Path) -> None:
    for store in (KeptOnDisk(tmp_path / "s"), Unkept()):
        for ask in (store.value, store.arrays):
            with pytest.raises(AuditError, match="nothing is kept under 'name'; `prepare` of the probe has to make it"):
                ask("name")
    KeptOnDisk(tmp_path / "s").value("name", lambda: [1])
    assert KeptOnDisk(tmp_path / "s").value("name") == [1]


def test_the_digest_is_over_everything_it_is_given() -> None:
    one = prepared_digest(probe=["a", "1", {}], data={"x": "1"})
    assert one == prepared_digest(data={"x": "1"}, probe=["a", "1", {}])
    assert one != prepared_digest(probe=["a", "2", {}], data={"x": "1"})
    assert one != prepared_digest(probe=["a", "1", {}], data={"x": "2"})
