"""A second count of the noisy steps of an unfinished run, outside its folder.

A ledger's last lines can be taken off, or the whole of it, and what is left is as whole as before: only what remembers
how long it was can tell. The saved state does, once there is one; this file does from the first step on. It holds the
hash of the ledger's header and a dot for each step, appended after the ledger's line, so it never counts more.
"""

from __future__ import annotations

from pathlib import Path

from harness.base.files import write_bytes
from harness.errors import AuditError
from privacy.ledger.chain import Chain, header_line
from privacy.ledger.errors import LedgerError

_HASH = 64
_STEP = b"."


class Witness:
    """Of the run whose ledger this process holds."""

    def __init__(self, path: Path, chain: Chain) -> None:
        """Go on with the count at `path`, or begin it where there is none.

        Raises LedgerError where it remembers another ledger, or more steps than `chain` has.
        """
        self.path = path
        if not path.exists():
            write_bytes(path, _head(chain) + b"\n" + _STEP * chain.spent, private=True)
            return
        self._append(_STEP * (chain.spent - check_witness(path, chain)))

    def count(self) -> None:
        """One more step is in the ledger. Raises AuditError where that cannot be written."""
        self._append(_STEP)

    def _append(self, content: bytes) -> None:
        try:
            with self.path.open("ab") as file:
                file.write(content)
        except OSError as error:
            raise AuditError(
                f"{self.path}: a step could not be counted ({error.strerror}) and was not taken; see to the disk, then "
                "resume"
            ) from error


def check_witness(path: Path, chain: Chain) -> int:
    """Steps that the witness at `path` remembers of `chain`. Raises LedgerError as `Witness` does."""
    content = path.read_bytes()
    remembered = _counted(content)
    if content[:_HASH] != _head(chain):
        raise LedgerError(
            f"{path}: counts the steps of another privacy ledger than the one in the folder beside it; put back "
            "the one that belongs to it, or move both aside with --replace"
        )
    if remembered > chain.spent:
        raise LedgerError(
            f"{path}: {remembered} noisy steps were taken, but the privacy ledger holds {chain.spent}: lines were "
            "taken off its end; put back an untouched copy, or move both aside with --replace and count "
            "them as spent"
        )
    return remembered


def _head(chain: Chain) -> bytes:
    return header_line(chain.header)[1].encode()


def counted(path: Path) -> int | None:
    """Steps that the witness at `path` remembers; None where there is none."""
    return _counted(path.read_bytes()) if path.exists() else None


def _counted(content: bytes) -> int:
    return content[_HASH:].count(_STEP)
