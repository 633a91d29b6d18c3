"""Finds plug-ins through entry points. A plug-in that fails to import is reported; the rest carry on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import Any

from harness.api.probe import Probe
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
    if probe.name.count("/") != 1:
        raise TypeError(f"{probe.name!r} is not of the form suite/probe")
    return probe.name, probe
