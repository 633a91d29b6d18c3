"""What an audit of epsilon found, and when that is an alarm."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from harness.errors import UsageError


class Bound(StrEnum):
    """How epsilon is bounded from below."""

    ONE_RUN = "one run, approximate DP (Steinke et al. 2023)"
    ONE_RUN_GAUSSIAN = "one run, Gaussian trade-off curve (Mahloujifar et al. 2025)"
    ONE_RUN_OWN = "one run, the trade-off curve of the training's own accounting (Mahloujifar et al. 2025)"
    INDEPENDENT = "Clopper-Pearson on independent trials"
    INDEPENDENT_GAUSSIAN = "Clopper-Pearson on independent trials, Gaussian trade-off curve"

    @property
    def gaussian(self) -> bool:
        """Whether the training's trade-off curve is taken for a Gaussian mechanism's."""
        return self in (Bound.ONE_RUN_GAUSSIAN, Bound.INDEPENDENT_GAUSSIAN)


@dataclass(frozen=True, slots=True)
class Audited:
    """A lower bound on epsilon at `delta`."""

    lower: float
    """Epsilon is at least this, with `confidence`; 0: nothing was shown."""
    delta: float
    confidence: float
    bound: Bound
    canaries: int
    """Canaries that had a coin, guessed about or not."""
    guesses: int
    right: int
    plus: int
    """Guesses 'was in the training'."""
    minus: int
    """Guesses 'was not'."""
    tried: int
    """Ways to guess that were tried; each had this share of the allowed error (Bonferroni)."""
    ceiling: float
    """The largest lower bound that so many canaries can show by this bound, with every guess right."""
    heuristic: bool
    """Whether the confidence rests on canaries being independent trials, which those of one training are not."""

    @property
    def assumes(self) -> str:
        """What the confidence rests on besides fair coins; empty: nothing."""
        parts = []
        if self.heuristic:
            parts.append("canaries are taken for independent trials, which those of one training are not (heuristic)")
        if self.bound is Bound.ONE_RUN_OWN:
            parts.append("the training's trade-off curve is taken for that of its accounting, at another size of noise")
        if self.bound.gaussian:
            parts.append("the training's trade-off curve is taken for that of a Gaussian mechanism")
        return "; ".join(parts)


def alarm(lower: float, claimed_upper: float) -> bool:
    """Whether what was shown contradicts what was claimed, at the same delta; no bound contradicts an infinite claim.

    Raises ValueError for what is no epsilon.
    """
    if not (lower >= 0 and claimed_upper >= 0):
        raise ValueError(f"not two epsilons: {lower} shown, {claimed_upper} claimed")
    return lower > claimed_upper


def check_levels(delta: float, confidence: float, bound: Bound) -> None:
    """Raises UsageError unless both are probabilities that an audit can work with."""
    if not 0 <= delta < 1:
        raise UsageError(f"delta of the audit is {delta}; give a number of at least 0 and below 1")
    if delta == 0 and bound.gaussian:  # any distance at all would be an infinite epsilon, so an alarm on every claim
        raise UsageError("an audit on a Gaussian curve needs a delta above 0; give the claim's")
    if not 0.5 < confidence < 1:
        raise UsageError(f"confidence of the audit is {confidence}; give a number above 0.5 and below 1")
