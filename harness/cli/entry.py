"""Where `assay` begins and ends: signals in, exit codes out."""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import typer

from harness.base.chatter import hush
from harness.base.loglines import clean
from harness.base.outcome import begin, settled
from harness.base.surroundings import shield
from harness.cli.commands import app
from harness.cli.console import errors, fail
from harness.errors import AssayError, Exit

_CLICK: type[Exception] = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")
"""Base of what is wrong with a command line; newer releases of typer bring their own copy of click."""

_AGAIN = 0.05
"""Seconds after which an interrupt that nobody heard comes again: collecting garbage takes less."""


def main(entry: Callable[..., Any] = app) -> None:
    """Entry point: one sentence and a promised exit code, whatever happens inside."""
    code = int(Exit.FAILED)  # also where saying what went wrong goes wrong: Python's own word for that would be 1
    try:
        shield()
        hush()
        begin()
        code = settled(_code(entry))
    except KeyboardInterrupt:  # a second one, while the first was told
        code = Exit.INTERRUPTED
    finally:
        sys.exit(code)


def _code(entry: Callable[..., Any]) -> int:
    """The exit code an entry asks for; what is nobody's error is Assay's, and never reads as a verdict."""
    try:
        with _terminable():
            asked = entry(standalone_mode=False)
        return asked if isinstance(asked, int) else Exit.PASS
    except AssayError as error:
        fail(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        fail("interrupted")
        return Exit.INTERRUPTED
    except typer.Exit as error:
        return error.exit_code
    except _CLICK as error:
        message = getattr(error, "format_message", None)
        fail(message() if message is not None else str(error))
        return Exit.USAGE
    except typer.Abort:
        fail("aborted: an answer was needed and there was nobody to give one")
        return Exit.FAILED
    except SystemExit as error:
        if isinstance(error.__context__, BrokenPipeError):  # rich's answer to a reader that left
            return _unread()
        fail(f"something that Assay called ended the program with {error.code!r}; no verdict was given")
        return Exit.FAILED
    except BrokenPipeError:
        return _unread()
    except OSError as error:
        where = f"{error.filename}: " if error.filename is not None else ""
        fail(f"{where}{error.strerror or error}")
        return Exit.FAILED
    except BaseException as error:
        fail(f"a fault of Assay's own, please report it: {type(error).__name__}: {error}")
        errors.print(clean("".join(traceback.format_exception(error))), markup=False, highlight=False)
        return Exit.FAILED


def _unread() -> Exit:
    """Nobody reads on: the last flush must not complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return Exit.FAILED


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends an audit as Ctrl-C does: rows kept, manifest marked; and neither is lost.

    An interrupt that comes while garbage is collected is raised inside some object's `__del__`, and Python lets nothing
    out of there: it tells `unraisablehook`, which has it come again a moment later, until it is heard.
    """
    thread, again = threading.get_ident(), threading.Timer(0, lambda: None)

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    def unheard(unraisable: sys.UnraisableHookArgs) -> None:
        nonlocal again
        if not issubclass(unraisable.exc_type, KeyboardInterrupt):
            hook(unraisable)
            return
        again.cancel()
        again = threading.Timer(_AGAIN, signal.pthread_kill, (thread, signal.SIGTERM))  # SIGINT may be ignored
        again.daemon = True
        again.start()

    before, hook = signal.signal(signal.SIGTERM, stop), sys.unraisablehook
    sys.unraisablehook = unheard
    try:
        yield
    finally:
        sys.unraisablehook = hook
        again.cancel()
        signal.signal(signal.SIGTERM, before)
