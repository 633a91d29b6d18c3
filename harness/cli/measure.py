"""The command `assay measure`: metrics of rows that no audit made."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli.console import console, say
from harness.errors import DataError, UsageError

if TYPE_CHECKING:
    from harness.api.probe import Probe
    from harness.api.registry import ProbeClass


def measure(
    probe: Annotated[str, typer.Argument(help="The probe whose rows they are, such as bias/bbq.")],
    rows: Annotated[Path | None, typer.Option(help="The rows: jsonl, csv, tsv or parquet, gzip allowed.")] = None,
    schema: Annotated[bool, typer.Option("--schema", help="Print what a row holds instead.")] = False,
    param: Annotated[list[str] | None, typer.Option(help="NAME=VALUE: a setting of the probe.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Measure rows that somebody else made, such as of published predictions, as an audit measures its own."""
    from harness.api.registry import find_probes

    found = find_probes()
    if probe not in found.probes:
        from harness.api.registry import pick

        others = ", ".join(each.name for each in pick(found, probe))
        raise UsageError(f"{probe!r} is a suite; name one of its probes: {others}")
    kind = found.probes[probe]
    if schema == (rows is not None):
        raise UsageError("give either --rows FILE or --schema")
    if rows is None:
        _show_schema(kind, as_json)
    else:
        _measure(kind(_params(kind, param or [])), rows, as_json)


def _show_schema(probe: ProbeClass, as_json: bool) -> None:
    from harness.api.columns import rows_schema
    from harness.cli.console import show_row_schema

    said = rows_schema(probe.Row)
    if as_json:
        sys.stdout.write(json.dumps(said, indent=2) + "\n")
        return
    show_row_schema(said["columns"])


def _measure(probe: Probe[Any], rows: Path, as_json: bool) -> None:
    from harness.audit.measure import measured_rows
    from harness.base.plugins import PluginError
    from harness.record.given_rows import read_given_rows
    from harness.reports.formats.terminal import print_metrics

    given = read_given_rows(rows, probe.name, probe.Row)
    try:
        metrics = measured_rows(probe, given.frame)
    except PluginError as error:
        raise DataError(
            f"{rows}: every cell is of its column's type, but {probe.name} cannot measure the rows together ({error}); "
            f"check lists and JSON against `assay measure {probe.name} --schema`"
        ) from error
    if as_json:
        content = {
            "probe": probe.name,
            "version": probe.version,
            "params": probe.params.model_dump(mode="json"),
            "rows": len(given.frame),
            "filled": dict(given.filled),
            "left_out": list(given.left_out),
            "metrics": [metric.model_dump(mode="json") for metric in metrics],
        }
        sys.stdout.write(json.dumps(content, indent=2, allow_nan=False) + "\n")
        return
    say(f"{len(given.frame)} rows of {rows}, as {probe.name} {probe.version} measures them")
    if given.filled:
        say(f"columns it lacks: {'; '.join(f'{name} is {value}' for name, value in given.filled.items())}")
    if given.left_out:
        say(f"columns that are none of the probe's, not read: {', '.join(given.left_out)}")
    print_metrics(console, metrics, probe.about)


def _params(probe: ProbeClass, given: list[str]) -> Any:
    """Settings NAME=VALUE, values as YAML. Raises UsageError."""
    from harness.base.validation import validated, yaml_mapping

    values: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"--param {text}: write NAME=VALUE")
        values |= yaml_mapping(f"{name}: {value}", f"--param {text}")
    return validated(probe.Params, values, "--param")
