"""The trainings of a folder: what each has read and spent, as far as that can be told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from privacy.accounting import AccountingError, Mechanism
from privacy.ledger import LedgerHeader
from privacy.lineage import mechanism_of_header
from privacy.lineage.records import Digests
from privacy.sampling.errors import SamplingError


@dataclass(frozen=True, slots=True)
class Reading:
    """Digests of the records that a training read."""

    key: str
    """Id of their key."""
    texts: Digests
    units: Digests
    pairs: bool
    """Whether a record may be a pair of texts: then the digests of its two texts are not told to belong together."""


@dataclass(frozen=True, slots=True)
class Training:
    """One training, finished or not."""

    name: str
    """Where it lies, below the folder that was looked at."""
    state: str = ""
    """`unfinished`, `running`, `moved aside`; '' for a finished one."""
    header: LedgerHeader | None = None
    """Of its ledger; None: trained without privacy, or nobody can tell what it spent (`trouble`)."""
    steps: int = 0
    """Noisy steps that count as spent."""
    records: int | None = None
    """How many it read; None: not known."""
    reading: Reading | None = None
    """None: which records it read is not known."""
    trouble: str = ""
    """Why nobody can tell what it spent; '' where it can be told."""

    @property
    def plain(self) -> bool:
        """Whether it was trained without privacy."""
        return self.header is None and not self.trouble

    @property
    def bounded(self) -> bool:
        """Whether an accountant can count it: it has a ledger and noise."""
        return self.header is not None and (self.header.noise_multiplier > 0 or self.steps == 0) and not self.trouble

    def mechanism(self, group: int) -> Mechanism:
        """What it released of a unit with `group` records; only where it is bounded.

        Raises SamplingError or AccountingError where its ledger describes nothing that can be counted.
        """
        assert self.header is not None
        return mechanism_of_header(self.header, self.steps, group)

    @property
    def unbounded(self) -> str:
        """Why no epsilon covers it; '' where one does."""
        if self.trouble:
            return self.trouble
        if self.header is None:
            return "trained without privacy"
        if not self.bounded:
            return "trained without noise"
        try:
            self.mechanism(1)
        except (SamplingError, AccountingError) as error:
            return str(error)
        return ""


@dataclass(frozen=True, slots=True)
class Found:
    """All trainings of a folder, and the keys of their digests."""

    root: Path
    trainings: tuple[Training, ...]
    keys: Mapping[str, bytes]
    """By id."""
