"""Poisson batches with a hard cap: what is drawn above it is cut to a uniform subset, and how that is accounted.

With the record x in the data and k others drawn: below the cap x is added, as without one. At the cap or above x is in
the batch with chance rate * cap / (k + 1), in the place of another that is uniform among those kept without x: the sum
then moves by at most two clipping norms. Whether the cap was reached does not depend on x, so the pair is a mixture
of two sampled Gaussians whose label may be told: (1 - w) of noise s at the rate, w of noise s / 2 at the chance above.
Source: dp_accounting's TruncatedSubsampledGaussianDpEvent (arXiv 2508.15089), which takes the replacing pair for the
second part; adding or removing one needs only the pair here, which is less.
"""

from __future__ import annotations

from dataclasses import dataclass

from privacy.accounting.mechanism import Mechanism


@dataclass(frozen=True, slots=True)
class SampledGaussian:
    """A part of a mixture: the record is in with chance `rate`, `noise` is relative to how far it moves the sum."""

    weight: float
    rate: float
    noise: float


def parts_of(mechanism: Mechanism) -> tuple[tuple[SampledGaussian, ...], ...]:
    """The mixtures that one composition is bounded by, of a record; the worse one counts.

    Without a cap there is one, of one part. With a cap there are two: the larger of two neighbours has all records, or
    one more; neither is worse for all caps.
    """
    if mechanism.max_batch is None or mechanism.records is None:
        return ((SampledGaussian(1.0, mechanism.rate, mechanism.noise_multiplier),),)
    larger = (mechanism.records, mechanism.records + 1)
    return tuple(_mixture(mechanism, mechanism.max_batch, records) for records in larger)


def _mixture(mechanism: Mechanism, cap: int, records: int) -> tuple[SampledGaussian, ...]:
    from scipy.stats import binom

    rate, noise = mechanism.rate, mechanism.noise_multiplier
    reached = float(binom.sf(cap - 1, records - 1, rate))
    inside = float(binom.sf(cap, records, rate)) * cap / records  # x is kept and the cap is reached
    below = SampledGaussian(1 - reached, rate, noise)
    if inside == 0:
        return (below,)
    return tuple(
        part for part in (below, SampledGaussian(reached, min(1.0, inside / reached), noise / 2)) if part.weight > 0
    )
