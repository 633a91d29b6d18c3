"""The canaries and coins of a training, beside its output and never inside it: the folder may be published."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from random import SystemRandom
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from harness.base.confined import read_bytes
from harness.base.files import make_folder, write_text
from harness.base.lock import alone
from harness.errors import AssayError, CheckpointError, UsageError
from harness.provenance.artefacts import Artefact, beside, digest_of, find_artefact
from privacy.canaries.canary import Canaries, Coins

CANARIES, COINS = "canaries", "coins"
_MOST_BYTES = 2**28
"""Of either file: some 300,000 canaries of 800 characters."""
_M = TypeVar("_M", bound=BaseModel)


def path_of(output: Path, what: str, unfinished: str = "") -> Path:
    """`what`: CANARIES or COINS. `unfinished`: digest of the spec of a training that is not finished."""
    return beside(output, _file(what), unfinished)


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


def read_canaries(checkpoint: Path, artefacts: Sequence[Artefact]) -> Canaries:
    """The list of the training whose manifest names `artefacts`. Raises NoDataError, UsageError."""
    return _read(find_artefact(checkpoint, artefacts, CANARIES), Canaries)


def open_coins(checkpoint: Path, artefacts: Sequence[Artefact]) -> Coins:
    """The coins; to be called once guesses are made. Raises NoDataError, UsageError."""
    path = find_artefact(checkpoint, artefacts, COINS)
    coins = _read(path, Coins)
    if coins.canaries not in {each.digest for each in artefacts if each.name == CANARIES}:
        raise UsageError(f"{path}: belongs to other canaries than the manifest names; restore both")
    return coins


def file_digest(text: str) -> str:
    """sha256 of what a file holds."""
    return hashlib.sha256(text.encode()).hexdigest()


def canary_artefacts(output: Path, spec_digest: str) -> tuple[Artefact, ...]:
    """List and coins of an unfinished training; an audit opens both."""
    return tuple(
        Artefact(
            name=what,
            kind=what,
            digest=_digest(output, what, spec_digest),
            readers="audit",
            file=_file(what),
        )
        for what in (CANARIES, COINS)
    )


def _digest(output: Path, what: str, spec_digest: str) -> str:
    """Of several processes the first may have finished by now, and given the file its name."""
    try:
        return digest_of(path_of(output, what, spec_digest))
    except AssayError:
        return digest_of(path_of(output, what))


def _file(what: str) -> str:
    return f"{what}.json"


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
