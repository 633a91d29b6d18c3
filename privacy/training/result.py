"""What `assay train` made, and how it says so."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.manifest import PrivacyClaim, TrainingManifest


@dataclass(frozen=True, slots=True)
class TrainResult:
    """A finished checkpoint."""

    folder: Path
    manifest: TrainingManifest
    trained: bool
    """False when it was there already."""
    seconds: float
    """Wall-clock time of this call."""
    truncated: int | None
    """Records cut at max_tokens; None when nothing was trained."""

    @property
    def sentence(self) -> str:
        """What happened, for the command line."""
        if not self.trained:
            return f"{self.folder}: trained already with these settings on these records; nothing to do"
        manifest = self.manifest
        cut = f", {self.truncated} of {manifest.members_n} records cut at the token limit" if self.truncated else ""
        steps = f"{self.folder}: {manifest.steps} steps in {self.seconds:.0f} s"
        losses = manifest.privacy.unprivatised.losses if manifest.privacy else manifest.losses
        loss = f", mean loss of the last epoch {losses[-1]:.3f} nats" if losses and losses[-1] is not None else ""
        claim = "\n" + claim_sentence(manifest.privacy) if manifest.privacy else ""
        return f"{steps}{loss}{cut}{claim}"


def claim_sentence(claim: PrivacyClaim) -> str:
    """The guarantee in words: bound, accountants, unit, sampling, and what it leaves out."""
    if claim.epsilon == float("inf"):
        bound = "no privacy guarantee: the noise is zero"
    else:
        others = [
            f"{name.upper()} {value:.3f}"
            for name, value in ((claim.second_accountant, claim.second_opinion), ("rdp", claim.rdp))
            if name is not None and value is not None and name != claim.accountant
        ]
        opinions = f"; {', '.join(others)}" if others else ""
        bound = f"epsilon <= {claim.epsilon:.3f} ({claim.accountant.upper()}{opinions}) at delta {claim.delta:.3g}"
    lines = [
        f"{bound}, for {claim.unit}; neighbours: {claim.neighbours}",
        f"{claim.sampling} sampling at rate {claim.sample_rate:.4g}, {claim.compositions} noisy releases, "
        f"noise multiplier {claim.noise_multiplier:.4g}, {claim.clipping} clipping to {claim.max_grad_norm:g}",
    ]
    if claim.steps_lost:
        lines.append(f"{claim.steps_lost} of {claim.steps} steps were lost in crashes; their budget counts as spent")
    if claim.unprivatised.non_finite:
        lines.append(
            f"{claim.unprivatised.non_finite} of {claim.unprivatised.drawn} records drawn had no finite gradient "
            "and contributed zero"
        )
    if claim.outside:
        lines.append(f"not covered: {'; '.join(claim.outside)}")
    if claim.note:
        lines.append(f"note: {claim.note}")
    return "\n".join(lines)
