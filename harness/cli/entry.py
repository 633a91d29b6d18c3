"""Where `assay` begins and ends: signals in, exit codes out."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from harness.cli.commands import app
from harness.console import fail
from harness.errors import AssayError, Exit
from harness.surroundings import shield


def main(entry: Callable[..., Any] = app) -> None:
    """Entry point: one sentence and a promised exit code instead of a traceback."""
    shield()
    try:
        with _terminable():
            entry(standalone_mode=True)
    except AssayError as error:
        fail(str(error))
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        fail("interrupted")
        sys.exit(Exit.INTERRUPTED)


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends an audit as Ctrl-C does: rows kept, manifest marked."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
