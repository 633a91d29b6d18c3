"""A plan as JSON, for programs: what will be run on how many cases, what it takes, what the gates can decide."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from harness.audit.cost import seconds_on_cpu, weight_bytes
from harness.audit.plan import AuditPlan, PlannedProbe
from harness.base.frozen import Frozen
from harness.gate.power import GatePower


class ProbeSummary(Frozen):
    """A probe that will run."""

    name: str
    cases: int = Field(description="cases planned, after the limit")
    available: int = Field(description="cases the data hold, before the limit")
    data: dict[str, int] = Field(description="rows by input name")
    tokens: int = Field(description="tokens the checkpoint will read, about")
    seconds: float | None = Field(description="of model time on this machine's CPU, roughly; null: unknown")


class GateSummary(Frozen):
    """What so many cases can decide of a gate."""

    gate: str
    rule: str
    cases: int | None = Field(description="cases planned for its metric; null: none")
    can_decide: bool | None = Field(description="null: unknown")
    needed: int | None = Field(description="cases it would need; null: unknown")
    when: str = Field(description="under which assumption")


class PlanSummary(Frozen):
    """What `assay plan --json` prints."""

    checkpoint: str
    architecture: str
    parameters: int
    offers: tuple[str, ...]
    fingerprint: str = Field(description="sha256 over weights, config and tokenizer")
    notes: tuple[str, ...] = Field(description="about the checkpoint and what it was allowed")
    probes: tuple[ProbeSummary, ...]
    weight_bytes: int = Field(description="most memory that the weights of all models take together")
    not_applicable: dict[str, str] = Field(description="probe -> why the checkpoint cannot serve it")
    no_data: dict[str, str] = Field(description="probe -> what it was not given")
    unused: tuple[str, ...] = Field(description="keys of the spec that name data or models no planned probe asks for")
    plugin_errors: dict[str, str] = Field(description="entry point -> why it did not load")
    gates: tuple[GateSummary, ...] = ()


def summary_of(plan: AuditPlan, power: Sequence[GatePower] = (), flops: float | None = None) -> PlanSummary:
    """What the plan says; `flops`: floating-point operations per second of this CPU, None where they are not known."""
    info = plan.info
    return PlanSummary(
        checkpoint=info.source.source.split("#")[0],
        architecture=info.architecture or info.model_type,
        parameters=info.parameters,
        offers=tuple(sorted(info.offers)),
        fingerprint=info.fingerprint.digest,
        notes=(*info.permissions.notes(), *info.notes),
        probes=tuple(_probe(each, info.parameters, flops) for each in plan.probes),
        weight_bytes=weight_bytes(plan),
        not_applicable=dict(plan.not_applicable),
        no_data=dict(plan.no_data),
        unused=tuple(plan.unused),
        plugin_errors=dict(plan.plugin_errors),
        gates=tuple(
            GateSummary(
                gate=each.gate.id,
                rule=each.gate.rule,
                cases=each.n,
                can_decide=each.can,
                needed=each.needed,
                when=each.what,
            )
            for each in power
        ),
    )


def _probe(planned: PlannedProbe, parameters: int, flops: float | None) -> ProbeSummary:
    return ProbeSummary(
        name=planned.probe.name,
        cases=len(planned.cases),
        available=planned.available,
        data={name: len(data) for name, data in planned.data.items()},
        tokens=planned.probe.cost(planned.cases),
        seconds=None if flops is None else seconds_on_cpu(planned, parameters, flops),
    )
