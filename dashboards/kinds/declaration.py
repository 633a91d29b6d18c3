"""What a probe declares: by its plug-in where that is installed, else by what its rows and metrics show."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from dashboards.audits import Audit
from dashboards.kinds.view import Column, Declaration, Measure
from harness.api.columns import rows_schema
from harness.api.declared import Computed, Declared
from harness.api.metrics import Metric
from harness.api.probe import Probe
from harness.api.registry import ProbeClass
from harness.base.plugins import PluginError, guarded


def declaration(audit: Audit, probe: str, types: Mapping[str, str], installed: ProbeClass | None) -> Declaration:
    """What `probe` declares of the rows of an audit that have columns of these `types`.

    A plug-in that fails, or that is of another version than made the rows, is as good as none.
    """
    mine = [metric for metric in audit.metrics if metric.key.startswith(f"{probe}/")]
    made = None if installed is None else _made(audit, probe, installed)
    columns = {name: Column(name, kind) for name, kind in types.items()}
    if made is None:
        return Declaration(probe, columns, tuple(_measured(mine)))
    try:
        said, declared = guarded(lambda: (rows_schema(made.Row)["columns"], made.declared()))
    except PluginError:
        return Declaration(probe, columns, tuple(_measured(mine)))
    for each in said:
        if each["name"] in columns:  # its type is that of the rows: older ones may hold lists as text
            columns[each["name"]] = replace(columns[each["name"]], unit=each["unit"], meaning=each["meaning"])
    return Declaration(probe, columns, tuple(_measures(declared, mine)), made)


def _made(audit: Audit, probe: str, installed: ProbeClass) -> Probe[Any] | None:
    record = next((each for each in audit.manifest.probes if each.name == probe), None)
    if record is None or record.version != installed.version:
        return None
    try:
        return guarded(lambda: installed(installed.Params.model_validate(record.params)))
    except (PluginError, ValidationError):
        return None


def _measures(declared: Iterable[Declared], measured: Iterable[Metric]) -> Iterator[Measure]:
    found = list(_measured(measured))
    sliced = {each.key for each in found if each.sliced}
    seen = set()
    for one in declared:
        for named in one.named:
            if named.key in seen:
                continue
            seen.add(named.key)
            fields: dict[str, Any] = {"sliced": named.key in sliced, "target": named.target}
            if not isinstance(one, Computed):
                clusters = one.clusters if isinstance(one.clusters, str) else ""
                fields |= {"by": one.slices.columns if one.slices else (), "clusters": clusters, "adds": True}
            yield Measure(named.key, named.unit, named.better, **fields)
    yield from (each for each in found if each.key not in seen)


def _measured(metrics: Iterable[Metric]) -> Iterator[Measure]:
    """Metrics as an audit has them, each once."""
    found: dict[str, list[Metric]] = {}
    for metric in metrics:
        found.setdefault(metric.key.rpartition("/")[2], []).append(metric)
    for key, same in found.items():
        sliced = any(metric.slice for metric in same)
        yield Measure(key, same[0].unit, same[0].better, target=same[0].target, sliced=sliced)
