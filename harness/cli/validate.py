"""The command `assay validate`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.console import say
from harness.errors import UsageError


def validate(
    file: Annotated[Path | None, typer.Argument(help="Audit, campaign, training or hardening spec, or policy.")] = None,
    schema: Annotated[
        str | None, typer.Option(help="Print a JSON schema instead: audit, policy, campaign, harden or train.")
    ] = None,
) -> None:
    """Check a spec or policy file without running it, or print the schema of one."""
    from harness.base.validation import read_yaml
    from harness.cli.kinds import kind_of, kinds

    known, broken = kinds()
    if schema is not None:
        if schema not in known:
            raise UsageError(f"--schema {schema}: choose one of {', '.join(known)}{broken}")
        sys.stdout.write(json.dumps(known[schema].schema(), indent=2) + "\n")
        return
    if file is None:
        raise UsageError("give a file to check, or --schema audit")
    say(f"{file}: a valid {kind_of(read_yaml(file), known, f'{file}{broken}').check(file)}")
