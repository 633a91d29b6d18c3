"""The guarantee of a run: made precise before its first step, and claimed after its last."""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.manifest import PrivacyClaim, Unprivatised
from privacy.accounting import calibrate, claim, delta_of
from privacy.sampling import PoissonSampling, Sampling, ShuffledSampling
from privacy.training.data import TrainingData
from privacy.training.privacy_spec import PrivacySpec
from privacy.training.spec import TrainSpec
from privacy.training.units import Unit, privacy_unit


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
    unprivatised: Unprivatised


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


def claim_of(guarantee: Guarantee, spec: TrainSpec, spent: Spent, outside: tuple[str, ...]) -> PrivacyClaim:
    """The claim that the steps in the ledger support."""
    privacy, unit, sampling = guarantee.spec, guarantee.unit, guarantee.sampling
    mechanism = sampling.mechanism(guarantee.noise_multiplier, spent.steps, unit.group)
    claimed = claim(mechanism, guarantee.delta, privacy.accountant)
    second = claimed.second_opinion
    notes = [claimed.note, unit.note, None if claimed.agrees else "the accountants contradict each other"]
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
        unprivatised=spent.unprivatised,
    )
