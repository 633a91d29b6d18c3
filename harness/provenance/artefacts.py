"""What a training leaves besides a checkpoint: files and folders by name, each with a digest and who may read it.

What others may have lies inside the checkpoint's folder, all else beside it, under the checkpoint's own name: the
folder is what gets published.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from harness.base.confined import open_regular
from harness.base.frozen import Frozen
from harness.errors import NoDataError, UsageError

Reader = Literal["published", "audit", "owner"]
"""published: whoever has the checkpoint; audit: whoever is given it to audit; owner: whoever trained it."""
_RANK: dict[Reader, int] = {"published": 0, "audit": 1, "owner": 2}
"""A reader may read what is for readers of the same or a smaller rank."""
_PLAIN_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
"""Manifests come from strangers: no way out of a folder, no pattern of a shell."""
_MOST_BYTES = 2**37
"""Of one file: 128 GiB, the largest shadow model in one piece."""
_BLOCK = 2**20


class Artefact(Frozen):
    """One of them, as the training manifest names it."""

    name: str = Field(pattern=_PLAIN_NAME, description="what it is asked for by")
    kind: str = Field(pattern=_PLAIN_NAME, description="what it is, e.g. canaries, record-digests, checkpoint")
    digest: str = Field(pattern=r"^[0-9a-f]{64}$", description="sha256; of a folder see digest_of")
    readers: Reader = Field(description="who may read it")
    file: str = Field(
        pattern=_PLAIN_NAME, description="its name: in the checkpoint's folder if published, else after that name and ."
    )

    def path(self, checkpoint: Path) -> Path:
        """Where it belongs."""
        return checkpoint / self.file if self.readers == "published" else beside(checkpoint, self.file)


def beside(checkpoint: Path, file: str, unfinished: str = "") -> Path:
    """Where an artefact that is not published lies. `unfinished`: digest of the spec of a training that still runs."""
    middle = f".unfinished-{unfinished[:16]}" if unfinished else ""
    return checkpoint.with_name(f"{checkpoint.name}{middle}.{file}")


def find_artefact(checkpoint: Path, artefacts: Sequence[Artefact], name: str, reader: Reader = "audit") -> Path:
    """The artefact `name` that the manifest of `checkpoint` names, its digest checked.

    Args:
        checkpoint: the folder or file of the trained weights.
        artefacts: of its manifest.
        name: which.
        reader: who asks.

    Raises:
        NoDataError: the training left none of that name, or it is not there.
        UsageError: it is not for this reader, or is not what the training left.
    """
    artefact = next((each for each in artefacts if each.name == name), None)
    if artefact is None:
        left = ", ".join(each.name for each in artefacts) or "none"
        raise NoDataError(f"{checkpoint}: its training left no artefact {name!r} (it left {left}); train it again")
    if not may_read(reader, artefact):
        raise UsageError(
            f"{checkpoint}: the artefact {name!r} of its training is for its {artefact.readers} alone, and is asked "
            f"for as {reader}"
        )
    there = [path for path in _candidates(checkpoint, artefact) if os.path.lexists(path)]
    if not there:
        where = "in it" if artefact.readers == "published" else "beside it"
        raise NoDataError(
            f"{checkpoint}: its training left {name}, but {artefact.path(checkpoint).name} is not {where}; put that "
            "there, whoever trained it has it"
        )
    for path in there:
        if digest_of(path) == artefact.digest:
            return path
    raise UsageError(f"{there[0]}: has been edited since the training, or belongs to another; restore it")


def may_read(reader: Reader, artefact: Artefact) -> bool:
    """Whether `artefact` is for such a reader."""
    return _RANK[artefact.readers] <= _RANK[reader]


def digest_of(path: Path) -> str:
    """sha256 of a file's bytes; of a folder: of its files' relative names and digests, sorted, as JSON.

    Raises CheckpointError for links, pipes and what else is no file or folder.
    """
    if path.is_symlink() or not path.is_dir():
        return _file_digest(path)
    files = (each for each in path.rglob("*") if each.is_symlink() or not each.is_dir())
    names = sorted((each.relative_to(path).as_posix(), _file_digest(each)) for each in files)
    return hashlib.sha256(json.dumps(names).encode()).hexdigest()


def _candidates(checkpoint: Path, artefact: Artefact) -> Iterable[Path]:
    """Also where a kill came between the checkpoint's renaming and its artefact's."""
    yield artefact.path(checkpoint)
    if artefact.readers != "published":
        stem = "".join(f"[{letter}]" if letter in "*?[" else letter for letter in checkpoint.name)
        yield from sorted(checkpoint.parent.glob(f"{stem}.unfinished-*.{artefact.file}"))


def _file_digest(path: Path) -> str:
    found = hashlib.sha256()
    with open_regular(path, _MOST_BYTES) as handle:
        while block := handle.read(_BLOCK):
            found.update(block)
    return found.hexdigest()
