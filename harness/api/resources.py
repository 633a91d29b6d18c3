"""Resources that suites bring with them (lexica, vectors, helper models), found through entry points."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, Protocol

from harness.base.plugins import installed
from harness.errors import UsageError

RESOURCES = "assay.resources"


@dataclass(frozen=True, slots=True)
class ResourceRow:
    """One resource: where it was found, or how it is got (`get`), or what is wrong (`problem`)."""

    name: str
    purpose: str
    licence: str
    source: str | None = None
    path: str | None = None
    digest: str | None = None
    substitutes_for: str | None = None
    get: str | None = None
    problem: str | None = None


class ResourcePlugin(Protocol):
    """What an entry point of the group `assay.resources` names."""

    suite: str

    def rows(self) -> Iterable[ResourceRow]:
        """Each resource as it is on this machine; downloads nothing."""
        ...


class CounterfitPlugin(ResourcePlugin, Protocol):
    """A plug-in that makes counter-fitted word vectors."""

    def counterfit(
        self, vectors: Path | None, synonyms: list[Path], antonyms: list[Path], output: Path, words: int
    ) -> str:
        """Write vectors to `output`; returns a sentence about them."""
        ...


def find_resources(
    points: Iterable[EntryPoint] | None = None,
) -> tuple[Mapping[str, ResourcePlugin], Mapping[str, str]]:
    """Plug-ins by suite, and the entry points that could not be used, each with its reason."""
    found = installed(RESOURCES, _checked, points)
    return found.plugins, found.errors


def find_counterfit(points: Iterable[EntryPoint] | None = None) -> CounterfitPlugin:
    """The plug-in that makes counter-fitted vectors. Raises UsageError where none is installed."""
    plugins, errors = find_resources(points)
    for plugin in plugins.values():
        if callable(getattr(plugin, "counterfit", None)):
            return plugin  # type: ignore[return-value]
    broken = f" ({'; '.join(errors.values())})" if errors else ""
    raise UsageError(f"no installed suite makes counter-fitted vectors{broken}; reinstall assay")


def _checked(_: EntryPoint, plugin: Any) -> tuple[str, ResourcePlugin]:
    if not (callable(getattr(plugin, "rows", None)) and isinstance(getattr(plugin, "suite", None), str)):
        raise TypeError(f"{plugin!r} has no suite and rows()")
    return plugin.suite, plugin
