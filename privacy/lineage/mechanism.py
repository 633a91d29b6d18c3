"""The mechanism of a run by its ledger's own numbers."""

from __future__ import annotations

from privacy.accounting import Mechanism
from privacy.ledger.header import LedgerHeader
from privacy.sampling import (
    BallsInBinsSampling,
    CyclicPoissonSampling,
    PoissonSampling,
    Sampling,
    ShuffledOnceSampling,
    ShuffledSampling,
    TruncatedPoissonSampling,
)
from privacy.sampling.errors import SamplingError


def sampling_of_header(header: LedgerHeader) -> Sampling:
    """The sampling that the header names. Raises SamplingError where it names none, or numbers that make none."""
    if header.bands is not None:
        return _of_banded_noise(header, header.bands)
    if header.sampling == PoissonSampling.label:
        return PoissonSampling(header.records, header.expected_batch_size, header.steps)
    if header.sampling == TruncatedPoissonSampling.label and header.max_batch is not None:
        return TruncatedPoissonSampling(header.records, header.expected_batch_size, header.steps, header.max_batch)
    if header.sampling == BallsInBinsSampling.label:
        return BallsInBinsSampling(header.records, header.expected_batch_size, _epochs(header))
    if header.sampling == ShuffledSampling.label:
        return ShuffledSampling(header.records, header.expected_batch_size, _epochs(header))
    raise SamplingError(f"the privacy ledger names a sampling that is unknown ({header.sampling:.40})")


def _of_banded_noise(header: LedgerHeader, bands: int) -> Sampling:
    if header.sampling == CyclicPoissonSampling.label:
        return CyclicPoissonSampling(header.records, header.expected_batch_size, header.steps, bands)
    if header.sampling != ShuffledOnceSampling.label:
        raise SamplingError(f"correlated noise is not proven with the sampling {header.sampling:.40}")
    sampling = ShuffledOnceSampling(header.records, header.expected_batch_size, _epochs(header))
    if bands > sampling.steps_per_epoch:
        raise SamplingError(f"noise over {bands} steps is not proven for epochs of {sampling.steps_per_epoch}")
    return sampling


def _epochs(header: LedgerHeader) -> int:
    once = ShuffledSampling(header.records, header.expected_batch_size, 1).steps
    if header.steps % once:
        raise SamplingError(f"the privacy ledger plans {header.steps} steps, no whole number of epochs of {once}")
    return header.steps // once


def mechanism_of_header(header: LedgerHeader, spent: int, group: int) -> Mechanism:
    """What `spent` steps released of a unit with `group` records. Raises SamplingError or AccountingError."""
    return sampling_of_header(header).mechanism(header.noise_multiplier, spent, group)
