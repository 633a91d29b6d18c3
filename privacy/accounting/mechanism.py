"""What was released, in the terms that accountants read."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from numbers import Integral

from privacy.accounting.errors import AccountingError


@dataclass(frozen=True, slots=True)
class Mechanism:
    """Noisy sums of clipped gradients, of sampled records; add or remove one unit.

    A composition is one sum of Poisson-sampled records, or an epoch of `bins` sums of which each record is in one.

    Raises AccountingError for numbers that describe no mechanism.
    """

    noise_multiplier: float
    """Standard deviation of the noise over the clipping norm; 0: no guarantee."""
    rate: float
    """Chance of each record to be in a composition, in (0, 1]; 1: every composition reads it, nothing is amplified."""
    compositions: int
    """Noisy sums released; 0: none, epsilon is 0."""
    group: int = 1
    """Most records that one privacy unit (a user) has, each sampled on its own; 1: the unit is the record."""
    max_batch: int | None = None
    """Most records of one composition, of more a uniform subset is kept; None: no cap."""
    records: int | None = None
    """Records that are sampled from, where there is a cap."""
    bins: int = 1
    """Noisy sums in a composition, of which a record is in one, drawn uniformly; 1: the composition is one sum."""

    def __post_init__(self) -> None:
        if not (self.noise_multiplier >= 0 and math.isfinite(self.noise_multiplier)):
            raise AccountingError(f"noise_multiplier is {self.noise_multiplier}; it must be a number >= 0")
        if not 0 < self.rate <= 1:
            raise AccountingError(f"rate is {self.rate}; the chance to be sampled must be above 0 and at most 1")
        # never derived from the rate: int(1 / (1 / n)) is n - 1 for n = 93 and many others
        if not _is_count(self.compositions) or self.compositions < 0:
            raise AccountingError(f"compositions is {self.compositions!r}; give the steps taken, a whole number >= 0")
        if not _is_count(self.group) or self.group < 1:
            raise AccountingError(f"group is {self.group!r}; give the most records of one user, a whole number >= 1")
        if self.max_batch is not None:
            self._check_cap(self.max_batch)
        if not _is_count(self.bins) or self.bins < 1:
            raise AccountingError(f"bins is {self.bins!r}; give the steps of an epoch, a whole number >= 1")
        if self.bins > 1:
            self._check_bins()

    def _check_cap(self, cap: int) -> None:
        if not _is_count(cap) or cap < 1 or not _is_count(self.records) or (self.records or 0) < cap:
            raise AccountingError(f"max_batch is {cap!r} of {self.records!r} records; give at least 1 and at most all")
        if self.group > 1:
            raise AccountingError(
                "batches with a cap are accounted for single records, not for users with several; take Poisson sampling"
            )
        if self.rate == 1:
            raise AccountingError("a batch of all records has no cap to keep to; leave max_batch out")

    def _check_bins(self) -> None:
        if self.rate != 1 / self.bins or self.max_batch is not None:
            raise AccountingError(f"rate is {self.rate}; with {self.bins} bins it is 1/{self.bins}, and without a cap")
        if self.group > 1:
            raise AccountingError(
                "balls in bins are accounted for single records, not for users with several; take Poisson sampling"
            )

    @property
    def amplified(self) -> bool:
        """Whether sampling makes the guarantee stronger than the noise alone."""
        return self.rate < 1

    def reduced(self) -> Mechanism:
        """The same guarantee, written as one composition and one record where nothing is sampled.

        Without sampling T Gaussian releases of sensitivity k are exactly one of sensitivity k sqrt(T).
        """
        if self.amplified or self.compositions == 0:
            return self
        spread = self.group * math.sqrt(self.compositions)
        return replace(self, noise_multiplier=self.noise_multiplier / spread, compositions=1, group=1)


def _is_count(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)
