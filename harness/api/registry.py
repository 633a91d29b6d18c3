"""Finds plug-ins through entry points. A plug-in that fails to import is reported; the rest carry on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import Any

from harness.api.declared import Declared
from harness.api.models import ModelRole
from harness.api.needs import Need
from harness.api.probe import About, Input, Probe, ProbeParams, ProbeRow
from harness.base.hints import did_you_mean
from harness.base.plugins import installed
from harness.errors import UsageError

PROBES = "assay.probes"

ProbeClass = type[Probe[Any]]


@dataclass(frozen=True, slots=True)
class Found:
    """Probes by name, and the entry points that could not be used, each with its reason."""

    probes: Mapping[str, ProbeClass]
    errors: Mapping[str, str]


def find_probes(points: Iterable[EntryPoint] | None = None) -> Found:
    """Every registered probe; `points` stands in for the installed entry points in tests."""
    found = installed(PROBES, _checked, points)
    return Found(dict(sorted(found.plugins.items())), found.errors)


def pick(found: Found, wanted: str) -> list[ProbeClass]:
    """Probes called `wanted`: one by its name, or all of a suite. Raises UsageError with a suggestion."""
    if wanted in found.probes:
        return [found.probes[wanted]]
    suite = [probe for name, probe in found.probes.items() if name.startswith(f"{wanted}/")]
    if suite:
        return suite
    known = [*found.probes, *sorted({name.split("/")[0] for name in found.probes})]
    hint = did_you_mean(wanted, known)
    broken = f" ({len(found.errors)} plug-ins did not load, see `assay probes`)" if found.errors else ""
    raise UsageError(f"no probe or suite is called {wanted!r}{hint}{broken}")


def _checked(_: EntryPoint, probe: Any) -> tuple[str, ProbeClass]:
    if not (isinstance(probe, type) and issubclass(probe, Probe)):
        raise TypeError(f"{probe!r} is not a subclass of harness.api.probe.Probe")
    lacking = [name for name in ("name", "about", "needs", "Row") if not hasattr(probe, name)]
    if not probe.metrics and probe.measure is Probe.measure and probe.declared is Probe.declared:
        lacking.append("metrics")
    if lacking:
        raise TypeError(f"{probe.__name__} does not set {', '.join(lacking)}")
    for name, (is_right, what) in _SET.items():
        if not is_right(getattr(probe, name)):
            raise TypeError(f"{probe.__name__}.{name} is {repr(getattr(probe, name))[:60]}, not {what}")
    if probe.name.count("/") != 1:
        raise TypeError(f"{probe.name!r} is not of the form suite/probe")
    return probe.name, probe


def _named(kind: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, Mapping) and all(isinstance(each, kind) for each in value.values())


def _several(is_right: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, tuple | list) and all(map(is_right, value))


def _is_need(value: Any) -> bool:
    return isinstance(value, frozenset | set) and all(isinstance(each, Need) for each in value)


def _is_pool(value: Any) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool) and value > 0)


def _below(kind: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, type) and issubclass(value, kind)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


_SET: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "name": (_is_text, "a text"),
    "version": (_is_text, "a text"),
    "about": (lambda value: isinstance(value, About), "an About"),
    "needs": (_several(_is_need), "a tuple of sets of Need, as any_of gives them"),
    "inputs": (_named(Input), "a mapping from names to Input"),
    "models": (_named(ModelRole), "a mapping from roles to ModelRole"),
    "pool": (_is_pool, "a whole number above 0, or None"),
    "compared_over": (_several(_is_text), "a tuple of names of params"),
    "metrics": (_several(lambda value: isinstance(value, Declared)), "a tuple of declared metrics"),
    "nothing": (_is_text, "a text"),
    "Params": (_below(ProbeParams), "a class of ProbeParams"),
    "Row": (_below(ProbeRow), "a class of ProbeRow"),
}
"""What a probe sets, whether it is of the right kind, and the words for that: said here, or it would come up as a
fault of Assay's own in the midst of a plan, which it would end for all other probes."""
