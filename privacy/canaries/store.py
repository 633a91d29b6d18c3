"""The canaries and coins of a training, beside its output and never inside it: the folder may be published."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from random import SystemRandom
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from harness.base.confined import read_bytes
from harness.base.files import make_folder, write_text
from harness.base.lock import alone
from harness.errors import CheckpointError, NoDataError, UsageError
from privacy.canaries.canary import Canaries, Coins

CANARIES, COINS = "canaries", "coins"
_MOST_BYTES = 2**28
"""Of either file: some 300,000 canaries of 800 characters."""
_M = TypeVar("_M", bound=BaseModel)


def path_of(output: Path, what: str, unfinished: str = "") -> Path:
    """`what`: CANARIES or COINS. `unfinished`: digest of the spec of a training that is not finished."""
    middle = f".unfinished-{unfinished[:16]}" if unfinished else ""
    return output.with_name(f"{output.name}{middle}.{what}.json")


def drawn(output: Path, digest: str, make: Callable[[], Canaries], *, keep: bool) -> tuple[Canaries, Coins]:
    """Those of the unfinished training with this spec `digest`, else new ones by coins of the system's generator.

    Of two processes that start at once the second takes what the first has written. `keep`: write new ones down.
    Raises UsageError for files that are damaged.
    """
    list_file, coins_file = path_of(output, CANARIES, digest), path_of(output, COINS, digest)
    if not os.path.lexists(coins_file):
        canaries = make()
        random = SystemRandom()
        text = _text(canaries)
        planted = tuple(bool(random.getrandbits(1)) for _ in canaries.canaries)
        coins = Coins(canaries=file_digest(text), salt=secrets.token_hex(32), planted=planted)
        if not keep:
            return canaries, coins
        if _written_first(make_folder(output.parent), {list_file: text, coins_file: _text(coins)}):
            return canaries, coins
    canaries, coins = _read(list_file, Canaries), _read(coins_file, Coins)
    if coins.canaries != file_digest(list_file.read_text(encoding="utf-8")) or len(coins.planted) != len(
        canaries.canaries
    ):
        raise UsageError(f"{coins_file}: belongs to other canaries than lie beside it; restore both, or remove both")
    return canaries, coins


def finish(output: Path, digest: str, aside: Callable[[], Path]) -> None:
    """Give the files of the training that has just become `output` their names; older ones there go to `aside()`."""
    pairs = [(path_of(output, what, digest), path_of(output, what)) for what in (CANARIES, COINS)]
    pairs = [(unfinished, final) for unfinished, final in pairs if os.path.lexists(unfinished)]
    old = [final for _, final in pairs if os.path.lexists(final)]
    if old:
        folder = make_folder(aside())
        for path in old:
            path.rename(folder / path.name)
    for unfinished, final in pairs:
        unfinished.rename(final)


def read_canaries(output: Path, files: Mapping[str, str]) -> Canaries:
    """The list of the training that made `output`; `files`: digests in its manifest. Raises NoDataError, UsageError."""
    return _read(_found(output, CANARIES, files), Canaries)


def open_coins(output: Path, files: Mapping[str, str]) -> Coins:
    """The coins; to be called once guesses are made. Raises NoDataError, UsageError."""
    coins = _read(_found(output, COINS, files), Coins)
    if coins.canaries != files.get(CANARIES):
        raise UsageError(f"{path_of(output, COINS)}: belongs to other canaries than its manifest names; restore both")
    return coins


def file_digest(text: str) -> str:
    """sha256 of what a file holds."""
    return hashlib.sha256(text.encode()).hexdigest()


def digests(output: Path, spec_digest: str) -> dict[str, str]:
    """Digest of each file of an unfinished training."""
    paths = {what: path_of(output, what, spec_digest) for what in (CANARIES, COINS)}
    return {what: file_digest(path.read_text(encoding="utf-8")) for what, path in paths.items()}


def _found(output: Path, what: str, files: Mapping[str, str]) -> Path:
    """Also where a kill came between the checkpoint's renaming and theirs."""
    if what not in files:
        raise NoDataError(f"{output}: its training manifest names no file of its {what}; restore the manifest")
    candidates = [
        path_of(output, what),
        *sorted(output.parent.glob(f"{_escaped(output.name)}.unfinished-*.{what}.json")),
    ]
    there = [path for path in candidates if os.path.lexists(path)]
    if not there:
        raise NoDataError(
            f"{output}: its canaries were planted, but {path_of(output, what).name} is not beside it; put that file "
            "there, whoever trained it has it"
        )
    for path in there:
        if file_digest(_content(path)) == files[what]:
            return path
    raise UsageError(f"{there[0]}: has been edited since the training, or belongs to another; restore it")


def _escaped(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def _content(path: Path) -> str:
    try:
        return read_bytes(path, _MOST_BYTES).decode()
    except (CheckpointError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read as text; restore it") from error


def _read(path: Path, model: type[_M]) -> _M:
    try:
        return model.model_validate_json(_content(path))
    except ValidationError as error:
        raise UsageError(f"{path}: no file of canaries, or a damaged one; restore it") from error


def _text(model: BaseModel) -> str:
    return model.model_dump_json(indent=1) + "\n"


def _written_first(folder: Path, files: dict[Path, str]) -> bool:
    """Write the files unless another process has; the last of them says that all are there."""
    with alone(folder):
        if os.path.lexists(list(files)[-1]):
            return False
        for path, text in files.items():
            write_text(path, text, private=True)
    return True
