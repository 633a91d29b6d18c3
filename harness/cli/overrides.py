"""Options of the command line over the keys of a spec file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.audit.spec import AuditSpec

PLAIN = ("examples", "texts")
"""Inputs that `--data FILE` is for: labelled texts, and texts."""


def given_options(
    checkpoint: str | None,
    suite: str | None,
    policy: Path | None,
    output: Path | None,
    tracking_uri: str | None,
    seed: int | None,
    limit: int | None,
    minutes: float | None,
    device: str | None,
    dtype: str | None,
    data: list[str] | None = None,
    cache: str | None = None,
) -> dict[str, Any]:
    """Command-line options as keys of a spec; only those given."""
    values = {
        "checkpoint": checkpoint,
        "probes": None if suite is None else _suites(suite),
        "data": data_option(data, suite) if data else None,
        "policy": None if policy is None else str(policy),
        "output": None if output is None else str(output),
        "tracking": None if tracking_uri is None else {"uri": tracking_uri},
        "seed": seed,
        "limits": None if limit is None and minutes is None else {"cases": limit, "minutes": minutes},
        "device": device,
        "dtype": dtype,
        "cache": cache,
    }
    return {key: value for key, value in values.items() if value is not None}


def data_option(given: list[str], suite: str | None) -> dict[str, str]:
    """`--data NAME=SOURCE` by input name; a plain SOURCE is for each input of PLAIN that the probes chosen read.

    Raises UsageError where no probe chosen reads it.
    """
    from harness.api.registry import find_probes, pick

    found = find_probes()
    names = _suites(suite) if suite is not None else sorted({name.split("/")[0] for name in found.probes})
    inputs = sorted({each for name in names for probe in pick(found, name) for each in probe.inputs})
    values: dict[str, str] = {}
    for text in given:
        name, equals, source = text.partition("=")
        named = bool(equals) and name.isidentifier()
        wanted = [name] if named else [each for each in PLAIN if each in inputs]
        if not set(wanted) & set(inputs):
            raise UsageError(
                f"--data {text}: no probe chosen reads {f'an input {name!r}' if named else ' or '.join(PLAIN)}; "
                f"their inputs are {', '.join(inputs) or 'none'}, give --data NAME=SOURCE"
            )
        for each in wanted:
            if each in values:
                raise UsageError(f"--data: {each} is given twice")
            values[each] = source if named else text
    return values


def _suites(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise UsageError(f"--suite {text!r}: names no suite or probe; see `assay probes`")
    return names


def _no_checkpoint(path: Path | None, written: Mapping[str, Any]) -> str:
    """Why there is nothing to audit: no file, or one of another kind or without the key."""
    from harness.cli.kinds import kind_of, kinds

    if path is None:
        return "nothing to audit: give a spec file or --checkpoint"
    known, broken = kinds()
    kind = kind_of(written, known, f"{path}{broken}")
    if kind is known["audit"]:
        return f"{path}: missing key 'checkpoint'; write it there or give --checkpoint"
    return f"{path}: looks like {kind.words}, not an audit spec; check it with: assay validate {path}"


def spec_with(path: Path | None, options: dict[str, Any], base: str | None = None) -> AuditSpec:
    """The spec in a file, if there is one, under the options given; `base` is that of an adapter. Raises UsageError."""
    from harness.audit.spec import AuditSpec
    from harness.base.validation import read_yaml, validated

    written = read_yaml(path) if path else {}
    values = {**written, **options}
    for key in ("limits", "tracking", "data"):  # an option replaces its own key, not its siblings in the file
        if isinstance(written.get(key), dict) and key in options:
            given = {name: value for name, value in options[key].items() if value is not None}
            values[key] = {**written[key], **given}
    if "checkpoint" not in values:
        raise UsageError(_no_checkpoint(path, written))
    if base is not None:
        source = values["checkpoint"]
        values["checkpoint"] = {**(source if isinstance(source, dict) else {"source": source}), "base": base}
    return validated(AuditSpec, values, str(path or "command line"))
