"""Keys of digests of private records: whoever lacks the key learns nothing from a digest.

A folder of checkpoints has one file of keys beside them, for its owner's eyes only. It holds the folder's own key,
drawn when it is first needed, and those of the checkpoints elsewhere that something here was trained from, so that
their digests can be compared too. It is never part of a checkpoint's folder, which may be published.

Under a key of which one digit is wrong all digests differ, and records that were read would look new. So the id of a
key is a digest that it alone makes; ids of older versions were drawn at random and cannot tell.
"""

from __future__ import annotations

import hmac
import os
import secrets
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from pydantic import Field, ValidationError

from harness.base.confined import read_bytes
from harness.base.files import make_folder, write_text
from harness.base.frozen import Frozen
from harness.base.lock import alone
from harness.errors import NoDataError, UsageError

KEYS_NAME = "assay_keys.json"
_KEY_BYTES = 32
_ID_DIGITS = 32
"""Of an id that its key makes; older ones have 16."""
_MOST_BYTES = 2**20
"""Of the file: some ten thousand keys."""


class Keys(Frozen):
    """The keys of one folder."""

    own: str = Field(description="id of the key that digests made here have; tells nothing of it")
    keys: dict[str, str] = Field(description="key by id, hexadecimal")

    def find(self, key_id: str) -> bytes | None:
        """The key with that id, if it is here."""
        found = self.keys.get(key_id)
        return bytes.fromhex(found) if found is not None else None

    @property
    def own_key(self) -> bytes:
        """The folder's own key."""
        return bytes.fromhex(self.keys[self.own])


def id_of(key: bytes) -> str:
    """The id that a key makes, 32 hexadecimal digits."""
    return hmac.new(key, b"assay: id of this key", sha256).hexdigest()[:_ID_DIGITS]


def keyed(digest: str, key: bytes) -> str:
    """HMAC-SHA256 of a digest, 64 hexadecimal digits."""
    return hmac.new(key, digest.encode(), sha256).hexdigest()


def read_keys(folder: Path) -> Keys | None:
    """The keys in `folder`; None where there is no such file. Raises UsageError for one that cannot be read."""
    path = folder / KEYS_NAME
    if not os.path.lexists(path):
        return None
    content = read_bytes(path, _MOST_BYTES)
    try:
        found = Keys.model_validate_json(content)
        if found.find(found.own) is None or not all(map(found.find, found.keys)):
            raise ValueError("its own key is missing, or one is empty")
        if any(len(name) == _ID_DIGITS and id_of(bytes.fromhex(key)) != name for name, key in found.keys.items()):
            raise ValueError("a key is not the one that its id was made of")
        return found
    except (ValidationError, ValueError) as error:
        raise UsageError(
            f"{path}: no file of keys, or a damaged one; put back a copy: without it digests of records cannot be "
            "checked"
        ) from error


def own_keys(folder: Path) -> Keys:
    """The keys in `folder`, with a new one of its own where there are none. Raises UsageError as `read_keys` does."""
    with alone(make_folder(folder)):
        return _own_keys(folder)


def add_keys(folder: Path, others: Mapping[str, str]) -> None:
    """Keep keys of digests from elsewhere beside the folder's own."""
    with alone(make_folder(folder)):
        there = _own_keys(folder)
        if not others.items() <= there.keys.items():
            _write(folder, Keys(own=there.own, keys={**others, **there.keys}))


def same_digest(recorded: str, key_id: str | None, plain: str, folder: Path) -> bool:
    """Whether `recorded`, in the manifest of the checkpoint `folder`, is the digest `plain`, keyed if it has a key.

    Raises NoDataError where the key is not beside the checkpoint.
    """
    if key_id is None:
        return recorded == plain
    keys = read_keys(folder.parent)
    key = keys.find(key_id) if keys else None
    if key is None:
        raise NoDataError(
            f"{folder}: the digest of its records has a key, which only whoever trained it has: {KEYS_NAME} in the "
            "folder it was trained into; put that file beside the checkpoint"
        )
    return hmac.compare_digest(recorded, keyed(plain, key))


def _own_keys(folder: Path) -> Keys:
    there = read_keys(folder)
    if there is None:
        key = secrets.token_bytes(_KEY_BYTES)
        there = Keys(own=id_of(key), keys={id_of(key): key.hex()})
        _write(folder, there)
    return there


def _write(folder: Path, keys: Keys) -> None:
    write_text(folder / KEYS_NAME, keys.model_dump_json(indent=2) + "\n", private=True)
