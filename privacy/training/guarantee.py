"""The guarantee of a run: made precise before its first step, and claimed after its last."""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.claim import rounded_up
from harness.manifest import EarlierRun, PrivacyClaim, Unprivatised
from privacy.accounting import calibrate, claim, claim_all, delta_of
from privacy.accounting.claims import Claim
from privacy.lineage import Composed, mechanism_of_header
from privacy.sampling import PoissonSampling, Sampling, ShuffledSampling
from privacy.training.data import TrainingData
from privacy.training.privacy_spec import PrivacySpec
from privacy.training.spec import TrainSpec
from privacy.training.units import EACH_RECORD, Unit, privacy_unit


@dataclass(frozen=True, slots=True)
class Guarantee:
    """Who is drawn, how much noise there is, and what that protects."""

    spec: PrivacySpec
    unit: Unit
    sampling: Sampling
    records: int
    delta: float
    noise_multiplier: float

    @property
    def rate(self) -> float:
        """Probability of a record to be in a step, as accountants read it."""
        return self.sampling.mechanism(self.noise_multiplier).rate


@dataclass(frozen=True, slots=True)
class Spent:
    """What a finished run really did."""

    steps: int
    """Noisy steps in the ledger."""
    lost: int
    """Those whose result a crash took."""
    ledger: str
    processes: int
    unprivatised: Unprivatised | None
    """None before the run."""


def plan_guarantee(spec: TrainSpec, privacy: PrivacySpec, data: TrainingData) -> Guarantee:
    """Sampling and noise for `spec` on `data`.

    Raises UsageError: a batch larger than the data, delta too large, a target that these steps cannot reach.
    """
    records = len(data.members)
    unit = privacy_unit(privacy, data)
    sampling = _sampling(spec, privacy, records)
    delta = delta_of(privacy.delta, unit.count)
    return Guarantee(privacy, unit, sampling, records, delta, _noise(privacy, sampling, unit, delta))


def _sampling(spec: TrainSpec, privacy: PrivacySpec, records: int) -> Sampling:
    if privacy.sampling == "shuffle":
        return ShuffledSampling(records, spec.batch_size, spec.epochs, spec.seed)
    return PoissonSampling(records, spec.batch_size, math.ceil(spec.epochs * records / spec.batch_size))


def _noise(privacy: PrivacySpec, sampling: Sampling, unit: Unit, delta: float) -> float:
    if privacy.noise_multiplier is not None:
        return privacy.noise_multiplier
    assert privacy.epsilon is not None  # the spec holds one of the two
    asked = sampling.mechanism(1.0, group=unit.group)
    return calibrate(
        privacy.epsilon, delta, asked.rate, asked.compositions, group=unit.group, accountant=privacy.accountant
    )


def claim_of(
    guarantee: Guarantee,
    spec: TrainSpec,
    spent: Spent,
    outside: tuple[str, ...],
    composed: tuple[Composed, ...] = (),
) -> PrivacyClaim:
    """The claim that the steps in the ledger support, with those of the earlier trainings that read the same units."""
    privacy, unit, sampling = guarantee.spec, guarantee.unit, guarantee.sampling
    mechanism = sampling.mechanism(guarantee.noise_multiplier, spent.steps, unit.group)
    alone = claim(mechanism, guarantee.delta, privacy.accountant)
    before = [mechanism_of_header(each.run.header, each.run.spent, each.group) for each in composed]
    claimed = claim_all([mechanism, *before], guarantee.delta, privacy.accountant) if before else alone
    second = claimed.second_opinion
    notes = [
        _composition(alone, composed, unit) if composed else None,
        claimed.note,
        unit.note,
        None if claimed.agrees else "the accountants contradict each other",
    ]
    return PrivacyClaim(
        epsilon=claimed.epsilon,
        epsilon_lower=claimed.lower,
        delta=guarantee.delta,
        accountant=claimed.accountant,
        second_opinion=second.upper if second else None,
        second_accountant=second.accountant if second else None,
        rdp=claimed.rdp.upper if claimed.rdp else None,
        note="; ".join(note for note in notes if note) or None,
        target_epsilon=privacy.epsilon,
        unit=unit.name,
        units=unit.count,
        group=unit.group,
        neighbours=sampling.neighbours,
        records=guarantee.records,
        sampling=sampling.label,
        sample_rate=mechanism.rate,
        compositions=mechanism.compositions,
        expected_batch_size=spec.batch_size,
        noise_multiplier=guarantee.noise_multiplier,
        clipping=privacy.clipping,
        max_grad_norm=privacy.max_grad_norm,
        steps=spent.steps,
        steps_lost=spent.lost,
        engine=privacy.engine,
        processes=spent.processes,
        ledger=spent.ledger,
        outside=outside,
        run_epsilon=alone.epsilon if composed else None,
        earlier=tuple(
            EarlierRun(
                ledger=each.run.head,
                shared=each.shared,
                records=each.run.header.records,
                group=each.group,
                sampling=each.run.header.sampling,
                sample_rate=released.rate,
                noise_multiplier=released.noise_multiplier,
                steps=each.run.spent,
                compositions=released.compositions,
            )
            for each, released in zip(composed, before, strict=True)
        ),
        unprivatised=spent.unprivatised,
    )


def _composition(alone: Claim, composed: tuple[Composed, ...], unit: Unit) -> str:
    """What a composed bound counts, for its reader."""
    most = max(each.shared for each in composed)
    runs = "an earlier private training" if len(composed) == 1 else f"{len(composed)} earlier private trainings"
    of = "records" if unit.group == 1 and unit.name == EACH_RECORD else "units"
    return (
        f"counts {runs} of its base as well, which read {most} of these {unit.count} {of}; "
        f"this training alone is epsilon <= {rounded_up(alone.epsilon)}"
    )
