"""The lines of a ledger: JSON, each holding the hash of the line before and its own.

{"header": {...}, "previous": "000...", "hash": H0}
{"step": 0, "previous": H0, "hash": H1}
{"step": 1, "previous": H1, "hash": H2}

A hash is the sha256 of its line without the hash. So the header decides every line that may ever follow: a change,
a swap or a gap anywhere is found, and a line torn by a crash is told from one that was edited. Lines taken off the
end are found by what remembers the head: the saved state and the manifest. Nothing here is secret: whoever rewrites
ledger, state and manifest together can forge all three.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from harness.base.files import explain
from privacy.ledger.errors import LedgerError
from privacy.ledger.header import LedgerHeader

_NOTHING = "0" * 64
"""What the first line has for the hash of the line before."""
_NEW_RUN = "put back an untouched copy, or start a new run in another folder and count what this one spent in full"

_LONGEST = 2**16
"""Bytes of a line. A header has about 1,000, a step 200."""


@dataclass(frozen=True, slots=True)
class Chain:
    """A verified ledger as it was read."""

    header: LedgerHeader
    spent: int
    """Noisy steps recorded, a torn one included."""
    head: str
    """Hash of the last line."""
    missing: bytes = b""
    """What a torn last line lacks."""
    size: int = 0
    """Bytes of the file that are content."""

    def head_after(self, spent: int) -> str:
        """The head when `spent` steps were recorded, also of steps yet to come."""
        head = header_line(self.header)[1]
        for step in range(spent):
            head = step_line(step, head)[1]
        return head


def header_line(header: LedgerHeader) -> tuple[bytes, str]:
    """The first line and its hash."""
    content = header.model_dump(mode="json", exclude_unset=True)  # a field that an older ledger lacks stays away
    return _seal({"header": content}, _NOTHING)


def step_line(step: int, previous: str) -> tuple[bytes, str]:
    """The line that spends `step`, and its hash."""
    return _seal({"step": step}, previous)


def ledger_bytes(header: LedgerHeader, spent: int) -> bytes:
    """A whole ledger of `spent` steps: the header decides every line."""
    line, head = header_line(header)
    lines = [line]
    for step in range(spent):
        line, head = step_line(step, head)
        lines.append(line)
    return b"".join(lines)


def read_chain(path: Path) -> Chain:
    """Read and verify a ledger of one's own without opening it for training.

    Raises LedgerError naming the first wrong line, or what keeps it from being read.
    """
    try:
        with path.open("rb") as file:
            return verified_chain(file, path)
    except FileNotFoundError as error:
        raise LedgerError(f"{path}: there is no privacy ledger; nothing was spent here, or {_NEW_RUN}") from error
    except OSError as error:
        raise explain(error, path) from error


def verified_chain(file: BinaryIO, path: Path) -> Chain:
    """The ledger in an open file, line by line; `path` is what errors call it. Raises as `read_chain`."""
    first = file.readline(_LONGEST)
    header = _read_header(path, first)
    head, spent, size = header_line(header)[1], 0, len(first)
    while line := file.readline(_LONGEST):
        expected, head = step_line(spent, head)
        spent += 1
        if line == expected:
            size += len(line)
            continue
        torn = line.rstrip(b"\0")  # a power cut may leave zeros where content was to be
        if not expected.startswith(torn) or not _only_zeros(file):
            raise _changed(path, spent + 1)
        return _within_plan(path, Chain(header, spent, head, expected[len(torn) :], size + len(torn)))
    return _within_plan(path, Chain(header, spent, head, size=size))


def _only_zeros(file: BinaryIO) -> bool:
    """Whether nothing but zeros follows."""
    return all(not part.strip(b"\0") for part in iter(lambda: file.read(_LONGEST), b""))


def _read_header(path: Path, line: bytes) -> LedgerHeader:
    try:
        header = LedgerHeader.model_validate(json.loads(line)["header"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:  # ValidationError is a ValueError
        raise _changed(path, 1) from error
    if header_line(header)[0] != line:
        raise _changed(path, 1)
    return header


def _within_plan(path: Path, chain: Chain) -> Chain:
    if chain.spent > chain.header.steps:
        raise LedgerError(
            f"{path}: {chain.spent} steps are recorded but {chain.header.steps} were planned, so the claim does not "
            f"hold; {_NEW_RUN}"
        )
    return chain


def _changed(path: Path, line: int) -> LedgerError:
    return LedgerError(
        f"{path}: line {line} was changed after it was written; the privacy budget spent can no longer be proven: "
        + _NEW_RUN
    )


def _seal(entry: dict[str, Any], previous: str) -> tuple[bytes, str]:
    body = {**entry, "previous": previous}
    digest = hashlib.sha256(json.dumps(body).encode()).hexdigest()
    return json.dumps({**body, "hash": digest}).encode() + b"\n", digest
