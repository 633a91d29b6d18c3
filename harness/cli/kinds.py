"""What a YAML file is for, told by its keys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from harness.api.commands import SPECS, SpecKind
from harness.base.hints import closest
from harness.base.plugins import being, installed
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.gate.policy import Policy


def kinds() -> tuple[Mapping[str, SpecKind], str]:
    """Kinds of spec by name, those of the harness first, and what could not be loaded, in brackets."""
    from harness.audit.spec import AuditSpec
    from harness.gate.policy import Policy

    own = {
        "audit": SpecKind("an audit spec", ("checkpoint", "probes"), _audit, AuditSpec.model_json_schema),
        "policy": SpecKind("a policy", ("gates", "requires"), _policy, Policy.model_json_schema),
    }
    others = installed(SPECS, being(SpecKind))
    return {**own, **{name: kind for name, kind in others.plugins.items() if name not in own}}, others.broken


def kind_of(keys: Iterable[object], known: Mapping[str, SpecKind], where: str) -> SpecKind:
    """The kind whose telling keys, misspelt ones counted half, are most; of those that fit alike the first is meant.

    Raises UsageError where there are none.
    """
    names = [str(key) for key in keys]
    scores = {name: sum(_likeness(key, kind.telling) for key in names) for name, kind in known.items()}
    best = max(scores, key=lambda name: scores[name])
    if scores[best] == 0:
        meant = [f"{kind.words} (key {kind.telling[0]})" for kind in known.values()]
        raise UsageError(
            f"{where}: neither {', '.join(meant[:-1])} nor {meant[-1]}; its keys are {', '.join(names) or 'none'}"
        )
    return known[best]


def _likeness(name: str, telling: tuple[str, ...]) -> float:
    if name in telling:
        return 1.0
    return 0.5 if closest(name, telling, cutoff=0.75) else 0.0


def _audit(file: Path) -> str:
    from harness.audit.spec import load_spec

    audit = load_spec(file)
    _breakable(audit.policy)
    return f"audit spec of {audit.checkpoint.source.split('#')[0]}"


def _policy(file: Path) -> str:
    from harness.gate.decide import load_policy

    policy = load_policy(file)
    _breakable(policy)
    return f"policy with {len(policy.gates)} gates"


def _breakable(policy: Policy | None) -> None:
    """Raises UsageError for a gate that no value of an installed probe's metric can break."""
    from harness.api.registry import find_probes
    from harness.audit.plan import known_bounds
    from harness.gate.bounds import refuse_unbreakable

    if policy is not None and policy.gates:
        refuse_unbreakable(policy, known_bounds(find_probes().probes.values()))
