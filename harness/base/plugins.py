"""Loads what entry points name. A plug-in may do anything while it is imported; here it may not end the process.

A plug-in of another distribution is imported in a forked copy of this process first, under a time limit: what ends,
crashes or hangs that copy (`os._exit`, a loop in C) is found out there. Then it is imported here.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import Distribution, EntryPoint, entry_points
from types import FrameType
from typing import Any, Generic, TypeVar

from harness.base.limits import capped

SECONDS = 60
"""Importing torch and transformers, which a suite may do, takes 5 s and ten times that on a busy machine."""
_SURVIVED = 77
_OWN = "assay"

T = TypeVar("T")


class PluginError(Exception):
    """Why a plug-in cannot be used; one sentence."""


@dataclass(frozen=True, slots=True)
class Installed(Generic[T]):
    """Plug-ins of a group by name, and the entry points that could not be used, each with its reason."""

    plugins: Mapping[str, T]
    errors: Mapping[str, str]

    @property
    def broken(self) -> str:
        """The latter in brackets, for the end of a sentence; nothing where all could be used."""
        return f" ({'; '.join(f'{point}: {reason}' for point, reason in self.errors.items())})" if self.errors else ""


class _TookTooLongError(BaseException):
    """No `except Exception` of a plug-in catches it."""


def installed(
    group: str,
    check: Callable[[EntryPoint, Any], tuple[str, T]],
    points: Iterable[EntryPoint] | None = None,
    *,
    first: str = "",
) -> Installed[T]:
    """Loads a group of entry points; a broken one costs no other.

    `check` gives the name and the plug-in of what a point names, or raises TypeError or ValueError with the reason.
    Points whose value begins with `first` come first, then by name; of two plug-ins of one name the first is kept.
    `points` stands in for the installed ones.
    """
    plugins: dict[str, T] = {}
    taken: dict[str, str] = {}
    errors: dict[str, str] = {}
    given = points if points is not None else entry_points(group=group)
    for point in sorted(given, key=lambda point: (not point.value.startswith(first), point.name, point.value)):
        try:
            name, plugin = check(point, load(point))
            if plugins.setdefault(name, plugin) is not plugin:
                raise ValueError(f"the name {name!r} is taken by {taken[name]}")
            taken.setdefault(name, point.value)
        except (PluginError, TypeError, ValueError) as error:
            errors[f"{point.name} = {point.value}"] = str(error)
    return Installed(plugins, errors)


def being(kind: type[T]) -> Callable[[EntryPoint, Any], tuple[str, T]]:
    """A check for `installed`: the plug-in, by its point's name, must be a `kind`."""

    def check(point: EntryPoint, plugin: Any) -> tuple[str, T]:
        if not isinstance(plugin, kind):
            raise TypeError(f"{plugin!r} is no {kind.__module__}.{kind.__qualname__}")
        return point.name, plugin

    return check


def having(*names: str) -> Callable[[EntryPoint, Any], tuple[str, Any]]:
    """A check for `installed`: the plug-in, by its point's name, must have methods of these names."""

    def check(point: EntryPoint, plugin: Any) -> tuple[str, Any]:
        lacking = [name for name in names if not callable(getattr(plugin, name, None))]
        if lacking:
            raise TypeError(f"{plugin!r} has no {lacking[0]}()")
        return point.name, plugin

    return check


def load(point: EntryPoint) -> Any:
    """The object an entry point names. Raises PluginError with the reason; Ctrl-C passes."""
    if _of_others(point):
        _rehearse(point)
    return guarded(point.load)


def guarded(call: Callable[[], T], limit: int | None = SECONDS) -> T:
    """What `call` returns; whatever else comes of a plug-in's code becomes a PluginError. Ctrl-C passes.

    `limit`: seconds it may take, before the user's factor; None: as long as it likes.
    """
    seconds = capped(limit) if limit is not None else None
    try:
        with _limited(seconds):
            return call()
    except KeyboardInterrupt:
        raise
    except _TookTooLongError:
        raise PluginError(f"took more than {seconds} s") from None
    except SystemExit as error:
        raise PluginError(f"called sys.exit({error.code!r})") from error
    except BaseException as error:  # a panic of a Rust library is no Exception
        raise PluginError(f"{type(error).__name__}: {error}") from error


def _of_others(point: EntryPoint) -> bool:
    """Whether another distribution than Assay's own brings it; one made up by a test brings none."""
    return point.dist is not None and _name_of(point.dist) != _OWN


@lru_cache(maxsize=64)
def _name_of(distribution: Distribution) -> str:
    """Lower-cased; asked, it reads and parses all its metadata, and one distribution brings many entry points."""
    return distribution.name.lower()


def _rehearse(point: EntryPoint) -> None:
    """Import it in a fork of this process. Raises PluginError where that does not come back."""
    if not hasattr(os, "fork"):
        return
    child = os.fork()
    if child == 0:
        _import_and_end(point)
    deadline = time.monotonic() + capped(SECONDS)
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            if os.WIFEXITED(status) and os.WEXITSTATUS(status) == _SURVIVED:
                return
            how = f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"status {os.WEXITSTATUS(status)}"
            raise PluginError(f"ended the process while it was imported ({how})")
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    raise PluginError(f"took more than {capped(SECONDS)} s to import")


def _import_and_end(point: EntryPoint) -> None:
    """What an import raises is not judged here: the import in the process itself says it."""
    try:
        nowhere = os.open(os.devnull, os.O_RDWR)
        for handle in (0, 1, 2):
            os.dup2(nowhere, handle)
        point.load()
    except BaseException:
        pass
    finally:
        os._exit(_SURVIVED)


@contextmanager
def _limited(seconds: int | None) -> Iterator[None]:
    """An alarm after so many seconds, where signals arrive: in the main thread of a system that has them."""
    if seconds is None or threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGALRM"):
        yield
        return

    def ring(_number: int, _frame: FrameType | None) -> None:
        raise _TookTooLongError

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
