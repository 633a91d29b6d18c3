"""What another room, or another package, brings to the command line: commands, kinds of spec, things to send.

Each is found by an entry point, so that the harness names no room above it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

COMMANDS = "assay.commands"
SPECS = "assay.specs"
OUTBOXES = "assay.outboxes"


@dataclass(frozen=True, slots=True)
class Command:
    """A subcommand of `assay`, called as its entry point is. Its module must import in milliseconds: no torch."""

    call: Callable[..., None]
    """A function as typer takes it; its docstring is the help."""
    example: str


@dataclass(frozen=True, slots=True)
class SpecKind:
    """A YAML file that `assay validate` can check, called as its entry point is."""

    words: str
    """What one is: a training spec."""
    telling: tuple[str, ...]
    """Keys at the top of such a file and of no other."""
    check: Callable[[Path], str]
    """What a file asks for, in a phrase after `a valid`; runs nothing. Raises UsageError naming what is wrong."""
    schema: Callable[[], dict[str, Any]]


class Outbox(Protocol):
    """What could not be logged to MLflow when it was made, and waits for `assay sync`; called as its entry point is."""

    def pending(self, home: Path) -> list[Path]:
        """Folders below `home` that wait."""
        ...

    def send(self, folder: Path, uri: str | None) -> None:
        """Log one, and say so. Raises AssayError where that does not go."""
        ...
