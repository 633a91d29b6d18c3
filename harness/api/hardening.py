"""Hardening: a suite trains a classifier against its attack. Found through entry points; this is what crosses over."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from harness.base.plugins import PluginError, load
from harness.errors import UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType

HARDEN = "assay.harden"

OnTraining = Callable[[int, int, float], None]
"""Called with steps taken, steps planned, recent loss."""
OnCases = Callable[[str, int, int], None]
"""Called with what is worked on, finished cases, planned cases."""


@contextmanager
def _silent() -> Iterator[Callable[..., None]]:
    yield lambda *_: None


@dataclass(frozen=True, slots=True)
class Watch:
    """How a hardening tells what it does: a line per stage, and what shows the steps of a training or an attack."""

    say: Callable[[str], None] = lambda _: None
    training: Callable[[], AbstractContextManager[OnTraining]] = _silent
    cases: Callable[[], AbstractContextManager[OnCases]] = _silent


class Hardened(Protocol):
    """A finished hardening."""

    @property
    def terminal(self) -> RenderableType:
        """What it bought and cost, for rich."""
        ...

    @property
    def files(self) -> Sequence[Path]:
        """The hardened checkpoint and what was written about it."""
        ...


class HardeningPlugin(Protocol):
    """What the one entry point of the group `assay.harden` names."""

    def harden(self, spec: Path, watch: Watch, *, replace: bool) -> Hardened:
        """Harden as the spec file says; what is finished is kept, what was stopped goes on. Raises AssayError."""
        ...

    def check(self, spec: Path) -> str:
        """What the spec file asks for, in a phrase; runs nothing. Raises UsageError naming what is wrong with it."""
        ...

    def schema(self) -> dict[str, Any]:
        """JSON schema of a spec file."""
        ...


def find_hardening(points: Iterable[EntryPoint] | None = None) -> HardeningPlugin:
    """The installed plug-in. Raises UsageError where there is none or it cannot be imported."""
    broken = ""
    for point in sorted(points if points is not None else entry_points(group=HARDEN), key=lambda point: point.name):
        try:
            plugin: HardeningPlugin = load(point)
            for name in ("harden", "check", "schema"):
                if not callable(getattr(plugin, name, None)):
                    raise PluginError(f"{plugin!r} has no {name}()")
        except PluginError as error:
            broken = f" ({point.name} = {point.value}: {error})"
            continue
        return plugin
    raise UsageError(f"no installed suite hardens checkpoints{broken}; reinstall assay")
