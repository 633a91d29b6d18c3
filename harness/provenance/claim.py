"""A checkpoint's privacy claim in words, and the part of it that an audit records."""

from __future__ import annotations

import math

from pydantic import Field

from harness.base.frozen import Frozen, FrozenMaybeInfinite
from harness.base.language import _
from harness.provenance.claim_check import UNCHECKED, ClaimCheck
from harness.provenance.manifest import PrivacyClaim, TrainingManifest

_PLAIN_NOISE = "Gaussian"
"""Kind of noise that goes without saying."""
_ROUNDED = 1e12
"""Numbers beyond this have no three decimals in double precision; a thousand times the largest is infinite."""


class ClaimRecord(FrozenMaybeInfinite):
    """What a reader of an audit must know of a claim. Nothing here needs protection."""

    epsilon: float = Field(description="upper bound claimed; inf: no guarantee")
    delta: float
    accountant: str = Field(description="whose upper bound `epsilon` is")
    second_accountant: str | None = None
    second_opinion: float | None = Field(default=None, description="upper bound of the second accountant")
    unit: str = Field(description="what is protected")
    units: int | None = Field(default=None, description="how many there are")
    outside: tuple[str, ...] = Field(default=(), description="parts of the checkpoint that the claim does not cover")
    note: str | None = None
    check: ClaimCheck = Field(default=UNCHECKED, description="whether it follows from the ledger beside the weights")

    @property
    def is_made(self) -> bool:
        """Whether privacy is claimed at all: an infinite epsilon is no claim, one that is no number is a bad one."""
        return self.epsilon != math.inf

    @property
    def doubt(self) -> str:
        """Why nothing may rest on the claim; '' when it is verified, or when none is made."""
        if not self.is_made:
            return ""
        if not self.check.verified:
            return self.check.reason
        return "" if self.epsilon >= 0 else f"its epsilon is {self.epsilon:g}"

    @property
    def bound(self) -> float | None:
        """Upper bound on epsilon that may be relied on: the larger of claimed and recomputed. None: no such bound."""
        if not self.is_made or self.doubt or self.check.epsilon is None:
            return None
        return max(self.epsilon, self.check.epsilon)


class TrainingRecord(Frozen):
    """What the training manifest of the audited weights says about privacy."""

    privacy: ClaimRecord | None = Field(description="None: trained without differential privacy")

    @classmethod
    def of(cls, manifest: TrainingManifest, check: ClaimCheck = UNCHECKED) -> TrainingRecord:
        """The record of a checkpoint with this manifest, whose claim was checked with this result."""
        claim = manifest.privacy
        if claim is None:
            return cls(privacy=None)
        copied = {name: getattr(claim, name) for name in ClaimRecord.model_fields if name != "check"}
        return cls(privacy=ClaimRecord(**copied, check=check))


def training_line(training: TrainingRecord | None, *, has_manifest: bool = False) -> str:
    """What a report says after the word training. `has_manifest`: the audit saw one, whether or not it recorded it."""
    if training is None:
        if has_manifest:
            return _("unknown: this audit did not record it")
        return _("unknown: no training manifest belongs to these weights")
    claim = training.privacy
    if claim is None:
        return _("without differential privacy")
    if not claim.is_made:
        verified = _("with clipped gradients but no noise: no privacy guarantee")
        parts = [verified if claim.check.verified else _("no privacy guarantee is claimed")]
    elif claim.doubt:
        parts = [
            _(
                "epsilon not verifiable: {doubt} (the manifest says {epsilon:.6g} at delta {delta:.3g})",
                doubt=claim.doubt,
                epsilon=claim.epsilon,
                delta=claim.delta,
            )
        ]
    else:
        opinion = _opinions(claim.accountant, [(claim.second_accountant, claim.second_opinion)])
        accountants = f"{claim.accountant.upper()}{opinion}"
        parts = [
            _(
                "claims epsilon <= {epsilon} ({accountants}) at delta {delta:.3g}, for {unit}; "
                "recomputed from its ledger",
                epsilon=rounded_up(claim.epsilon),
                accountants=accountants,
                delta=claim.delta,
                unit=claim.unit,
            )
        ]
    return _("; ").join([*parts, *_limits(claim)])


def claim_sentence(claim: PrivacyClaim) -> str:
    """The guarantee in words: bound, accountants, unit, sampling, and what it leaves out; several lines."""
    if math.isinf(claim.epsilon):
        bound = "no privacy guarantee: the noise is zero"
    else:
        rdp = None if claim.accountant == "rdp" else claim.rdp
        opinions = _opinions(claim.accountant, [(claim.second_accountant, claim.second_opinion), ("rdp", rdp)])
        bound = (
            f"epsilon <= {rounded_up(claim.epsilon)} ({claim.accountant.upper()}{opinions}) at delta {claim.delta:.3g}"
            f", for {claim.unit}; neighbours: {claim.neighbours}"
        )
    release = "noisy release" if claim.noise_multiplier else "release"
    cap = f", at most {claim.max_batch} records a step" if claim.max_batch is not None else ""
    over = f" over {claim.bands} steps" if claim.bands is not None else ""
    kind = f" ({claim.noise}{over})" if claim.noise != _PLAIN_NOISE else ""
    lines = [
        bound,
        f"{_sampled(claim)}{cap}, {claim.compositions} {release}{'' if claim.compositions == 1 else 's'}, "
        f"noise multiplier {claim.noise_multiplier:.4g}{kind}, {claim.clipping} clipping to {claim.max_grad_norm:g}",
    ]
    if claim.steps_lost:
        steps = "step" if claim.steps == 1 else "steps"
        verb, whose = ("was", "its") if claim.steps_lost == 1 else ("were", "their")
        lost = f"{claim.steps_lost} of {claim.steps} {steps} {verb} lost in crashes"
        lines.append(f"{lost}; {whose} budget counts as spent")
    facts = claim.unprivatised
    if facts is not None and facts.non_finite:
        lines.append(f"{facts.non_finite} of {facts.drawn} records drawn had no finite gradient and contributed zero")
    return "\n".join([*lines, *_limits(claim)])


def _sampled(claim: PrivacyClaim) -> str:
    how, *limits = claim.sampling.split(", ", 1)
    limit = "".join(limits)
    return f"{how} sampling at rate {claim.sample_rate:.4g}{f' ({limit})' if limit else ''}"


def _opinions(claimed: str, others: list[tuple[str | None, float | None]]) -> str:
    """An accountant that seconds itself has counted users by the bound on groups that holds for any mechanism."""
    group = _("group bound")
    shown = [
        f"{group if name == claimed else name.upper()} {rounded_up(value)}"
        for name, value in others
        if name is not None and value is not None
    ]
    return f"; {', '.join(shown)}" if shown else ""


def rounded_up(value: float) -> str:
    """Three decimals, rounded up: an upper bound must not be shown smaller than it is."""
    return f"{math.ceil(value * 1000 * (1 - 1e-12)) / 1000:.3f}" if abs(value) < _ROUNDED else f"{value}"


def _limits(claim: PrivacyClaim | ClaimRecord) -> list[str]:
    outside = [_("not covered: {parts}", parts="; ".join(claim.outside))] if claim.outside else []
    return [*outside, *([_("note: {note}", note=claim.note)] if claim.note else [])]
