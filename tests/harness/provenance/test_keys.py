"""A key is the one that its id says: under another, records that were read would look new.

Guards against: one digit of a key changed, and every comparison with earlier trainings said that nothing is shared.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.errors import UsageError
from harness.provenance.keys import KEYS_NAME, add_keys, id_of, own_keys, read_keys


def write(folder: Path, own: str, keys: dict[str, Any]) -> None:
    (folder / KEYS_NAME).write_text(json.dumps({"own": own, "keys": keys}))


def test_a_new_key_makes_its_id(tmp_path: Path) -> None:
    keys = own_keys(tmp_path)
    assert keys.own == id_of(keys.own_key)
    assert (len(keys.own), len(keys.own_key)) == (32, 32)
    assert read_keys(tmp_path) == own_keys(tmp_path) == keys
    other = own_keys(tmp_path / "other")
    assert other.own != keys.own
    add_keys(tmp_path, other.keys)
    found = read_keys(tmp_path)
    assert found is not None
    assert (found.own, found.find(other.own)) == (keys.own, other.own_key)


@pytest.mark.parametrize("harm", ["a digit", "an end", "two swapped", "another name", "a key of elsewhere"])
def test_a_key_that_is_not_that_of_its_id_is_refused(harm: str, tmp_path: Path) -> None:
    mine, other = own_keys(tmp_path), own_keys(tmp_path / "other")
    one, two = mine.keys[mine.own], other.keys[other.own]
    digit = one[:9] + ("0" if one[9] != "0" else "1") + one[10:]
    changed: dict[str, tuple[str, dict[str, str]]] = {
        "a digit": (mine.own, {mine.own: digit}),
        "an end": (mine.own, {mine.own: one[:-2]}),
        "two swapped": (mine.own, {mine.own: two, other.own: one}),
        "another name": ("0" * 32, {"0" * 32: one}),
        "a key of elsewhere": (mine.own, {mine.own: one, other.own: digit}),
    }
    write(tmp_path, *changed[harm])
    for read in (read_keys, own_keys):
        with pytest.raises(UsageError, match="no file of keys, or a damaged one; put back a copy") as raised:
            read(tmp_path)
        assert "\n" not in str(raised.value)


def test_ids_of_older_versions_are_read(tmp_path: Path) -> None:
    """They were drawn at random: nothing can be told of them."""
    write(tmp_path, "c820e89cc9ef7b31", {"c820e89cc9ef7b31": "ab" * 32})
    keys = own_keys(tmp_path)
    assert (keys.own, keys.own_key) == ("c820e89cc9ef7b31", b"\xab" * 32)
