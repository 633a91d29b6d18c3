"""The command `assay validate`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, assert_never

import typer

from harness.cli.console import say
from harness.cli.kinds import Kind, kind_of
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.gate.policy import Policy


def validate(
    file: Annotated[Path | None, typer.Argument(help="Audit, training or hardening spec, or policy.")] = None,
    schema: Annotated[
        str | None, typer.Option(help="Print a JSON schema instead: audit, policy, train or harden.")
    ] = None,
) -> None:
    """Check a spec or policy file without running it, or print the schema of one."""
    from harness.base.validation import read_yaml

    if schema is not None:
        if schema not in list(Kind):
            raise UsageError(f"--schema {schema}: choose one of {', '.join(Kind)}")
        sys.stdout.write(json.dumps(_schema(Kind(schema)), indent=2) + "\n")
        return
    if file is None:
        raise UsageError("give a file to check, or --schema audit")
    say(f"{file}: a valid {_checked(file, kind_of(read_yaml(file), str(file)))}")


def _checked(file: Path, kind: Kind) -> str:
    """What the file asks for. Raises UsageError naming what is wrong with it."""
    match kind:
        case Kind.AUDIT:
            from harness.audit.spec import load_spec

            audit = load_spec(file)
            _breakable(audit.policy)
            return f"audit spec of {_short(audit.checkpoint.source)}"
        case Kind.POLICY:
            from harness.gate.decide import load_policy

            policy = load_policy(file)
            _breakable(policy)
            return f"policy with {len(policy.gates)} gates"
        case Kind.TRAIN:
            from privacy.training.options import load_train_spec

            spec = load_train_spec(file)
            return f"training spec of {spec.task} on {_short(spec.data.source)}"
        case Kind.HARDEN:
            from harness.api.hardening import find_hardening

            return f"hardening spec of {find_hardening().check(file)}"
        case _:
            assert_never(kind)


def _breakable(policy: Policy | None) -> None:
    """Raises UsageError for a gate that no value of an installed probe's metric can break."""
    from harness.api.registry import find_probes
    from harness.audit.plan import known_bounds
    from harness.gate.bounds import refuse_unbreakable

    if policy is not None and policy.gates:
        refuse_unbreakable(policy, known_bounds(find_probes().probes.values()))


def _short(source: str) -> str:
    """A source without its digest."""
    return source.split("#")[0]


def _schema(kind: Kind) -> dict[str, Any]:
    match kind:
        case Kind.AUDIT:
            from harness.audit.spec import AuditSpec

            return AuditSpec.model_json_schema()
        case Kind.POLICY:
            from harness.gate.policy import Policy

            return Policy.model_json_schema()
        case Kind.TRAIN:
            from privacy.training import TrainSpec

            return TrainSpec.model_json_schema()
        case Kind.HARDEN:
            from harness.api.hardening import find_hardening

            return find_hardening().schema()
        case _:
            assert_never(kind)
