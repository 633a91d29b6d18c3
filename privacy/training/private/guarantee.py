"""The guarantee of a run: made precise before its first step, and claimed after its last."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from harness.errors import UsageError
from harness.provenance.claim import rounded_up
from harness.provenance.manifest import EarlierRun, PrivacyClaim, Unprivatised
from privacy.accounting import calibrate_mechanism, claim, claim_all, delta_of
from privacy.accounting.claims import Claim
from privacy.accounting.mechanism import Mechanism
from privacy.lineage import Composed, mechanism_of_header, sampling_of_header
from privacy.noise.banded import best_bands, noise_ratio
from privacy.sampling import (
    BallsInBinsSampling,
    CyclicPoissonSampling,
    PoissonSampling,
    Sampling,
    ShuffledOnceSampling,
    ShuffledSampling,
    TruncatedPoissonSampling,
)
from privacy.sampling.sampling import check_batch
from privacy.training.data.load import TrainingData
from privacy.training.data.units import EACH_RECORD, Unit, neighbours_of, privacy_unit
from privacy.training.settings.privacy_spec import PrivacySpec
from privacy.training.settings.spec import TrainSpec

GAUSSIAN = "Gaussian"
_FEWEST_BANDS = 2
_CHOICES = (2, 4, 8, 16)
"""Bands that are tried with amplification, where each needs a calibration."""
BANDED = "Gaussian, correlated"
SECURE = "discrete Gaussian, from the operating system"


@dataclass(frozen=True, slots=True)
class Guarantee:
    """Who is drawn, how much noise there is, and what that protects."""

    spec: PrivacySpec
    unit: Unit
    sampling: Sampling
    records: int
    delta: float
    noise_multiplier: float
    bands: int | None = None
    """Steps that noise is correlated over; None: independent."""

    @property
    def noise(self) -> str:
        """Kind of the noise, as a report calls it."""
        if self.bands is not None:
            return BANDED
        return SECURE if self.spec.secure else GAUSSIAN

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

    Raises UsageError: a batch larger than the data, delta too large, a target that these steps cannot reach, units that
    the sampling is not accounted for.
    """
    records = len(data.members)
    unit = privacy_unit(privacy, data)
    delta = delta_of(privacy.delta, unit.count)
    bands = bands_of(spec, privacy, records, delta)
    sampling = sampling_of(spec, privacy, records, bands)
    return Guarantee(privacy, unit, sampling, records, delta, _noise(privacy, sampling, unit, delta), bands)


def sampling_of(spec: TrainSpec, privacy: PrivacySpec, records: int, bands: int | None) -> Sampling:
    """Who is in which step, for noise over `bands`. Raises UsageError for a batch larger than the data."""
    if privacy.sampling == "shuffle":
        shuffled = ShuffledSampling if bands is None else ShuffledOnceSampling
        return shuffled(records, spec.batch_size, spec.epochs, spec.seed)
    if privacy.sampling == "balls-in-bins":
        return BallsInBinsSampling(records, spec.batch_size, spec.epochs)
    steps = math.ceil(spec.epochs * records / spec.batch_size)
    if privacy.max_batch is not None:
        return TruncatedPoissonSampling(records, spec.batch_size, steps, privacy.max_batch)
    if bands is not None:
        return CyclicPoissonSampling(records, spec.batch_size, steps, bands, spec.seed)
    return PoissonSampling(records, spec.batch_size, steps)


def bands_of(spec: TrainSpec, privacy: PrivacySpec, records: int, delta: float) -> int | None:
    """Steps that noise is correlated over; None: it is independent.

    Raises UsageError where a record would come back sooner.
    """
    if privacy.noise == "independent":
        return None
    check_batch(spec.batch_size, records)
    apart = -(-records // spec.batch_size) if privacy.sampling == "shuffle" else records // spec.batch_size
    if apart < _FEWEST_BANDS:
        raise UsageError(
            f"noise: banded needs {_FEWEST_BANDS} or more steps between two of a record, in batches of "
            f"{spec.batch_size} of {records} records there is {apart}; lower batch_size or leave it out"
        )
    if privacy.bands == "auto":
        return _best_bands(spec, privacy, records, delta, apart)
    if privacy.bands > apart:
        raise UsageError(
            f"bands is {privacy.bands}, but a record comes back after {apart} steps; give at most {apart}, or a "
            "smaller batch_size"
        )
    return privacy.bands


def _best_bands(spec: TrainSpec, privacy: PrivacySpec, records: int, delta: float, apart: int) -> int:
    """Those that leave the least noise in the sums of steps, at the same epsilon."""
    if privacy.sampling == "shuffle":  # epsilon does not depend on them
        return best_bands(spec.epochs * apart, apart)
    if privacy.epsilon is None:
        raise UsageError("bands: auto is chosen for an epsilon; with noise_multiplier give bands, a number of steps")
    target = privacy.epsilon

    def left(bands: int) -> float:
        sampling = sampling_of(spec, privacy, records, bands)
        noise = calibrate_mechanism(target, delta, sampling.mechanism(1.0), privacy.accountant)
        return noise * noise_ratio(bands, sampling.steps)

    return min((bands for bands in _CHOICES if bands <= apart), key=left)


def _noise(privacy: PrivacySpec, sampling: Sampling, unit: Unit, delta: float) -> float:
    asked = sampling.mechanism(1.0, group=unit.group)  # refused now, not by the claim when all is spent
    if privacy.noise_multiplier is not None:
        return privacy.noise_multiplier
    assert privacy.epsilon is not None  # the spec holds one of the two
    return calibrate_mechanism(privacy.epsilon, delta, asked, privacy.accountant)


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
        neighbours=neighbours_of(sampling, unit.name, [sampling_of_header(each.run.header) for each in composed]),
        records=guarantee.records,
        sampling=sampling.label,
        sample_rate=mechanism.rate,
        max_batch=mechanism.max_batch,
        compositions=mechanism.compositions,
        expected_batch_size=spec.batch_size,
        noise_multiplier=guarantee.noise_multiplier,
        noise=guarantee.noise,
        bands=guarantee.bands,
        clipping=privacy.clipping,
        max_grad_norm=privacy.max_grad_norm,
        steps=spent.steps,
        steps_lost=spent.lost,
        engine=privacy.engine,
        processes=spent.processes,
        ledger=spent.ledger,
        outside=outside,
        run_epsilon=alone.epsilon if composed else None,
        earlier=_earlier(composed, before),
        unprivatised=spent.unprivatised,
    )


def _earlier(composed: tuple[Composed, ...], before: Sequence[Mechanism]) -> tuple[EarlierRun, ...]:
    """Trainings that are counted as well, each with what it released."""
    return tuple(
        EarlierRun(
            ledger=each.run.head,
            shared=each.shared,
            records=each.run.header.records,
            group=each.group,
            sampling=each.run.header.sampling,
            sample_rate=released.rate,
            noise_multiplier=released.noise_multiplier,
            steps=each.run.spent,
            max_batch=released.max_batch,
            compositions=released.compositions,
        )
        for each, released in zip(composed, before, strict=True)
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
