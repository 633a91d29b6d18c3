"""Options of the command line over the keys of a spec file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.spec import AuditSpec


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
) -> dict[str, Any]:
    """Command-line options as keys of a spec; only those given."""
    values = {
        "checkpoint": checkpoint,
        "probes": [name.strip() for name in suite.split(",") if name.strip()] if suite else None,
        "policy": str(policy) if policy else None,
        "output": str(output) if output else None,
        "tracking": {"uri": tracking_uri} if tracking_uri else None,
        "seed": seed,
        "limits": {"cases": limit, "minutes": minutes} if limit or minutes else None,
        "device": device,
        "dtype": dtype,
    }
    return {key: value for key, value in values.items() if value is not None}


def spec_with(path: Path | None, options: dict[str, Any], base: str | None = None) -> AuditSpec:
    """The spec in a file, if there is one, under the options given; `base` is that of an adapter. Raises UsageError."""
    from harness.spec import AuditSpec
    from harness.validation import read_yaml, validated

    written = read_yaml(path) if path else {}
    values = {**written, **options}
    for key in ("limits", "tracking"):  # an option replaces its own key, not its siblings in the file
        if isinstance(written.get(key), dict) and key in options:
            given = {name: value for name, value in options[key].items() if value is not None}
            values[key] = {**written[key], **given}
    if "checkpoint" not in values:
        raise UsageError("nothing to audit: give a spec file or --checkpoint")
    if base is not None:
        source = values["checkpoint"]
        values["checkpoint"] = {**(source if isinstance(source, dict) else {"source": source}), "base": base}
    return validated(AuditSpec, values, str(path or "command line"))
