"""What `assay train` made, and how it says so."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.provenance.claim import claim_sentence
from harness.provenance.manifest import TrainingManifest


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
    note: str | None = None
    """What whoever trains must know."""

    @property
    def sentence(self) -> str:
        """What happened, for the command line."""
        if not self.trained:
            return f"{self.folder}: trained already with these settings on these records; nothing to do"
        manifest = self.manifest
        cut = f", {self.truncated} of {manifest.members_n} records cut at the token limit" if self.truncated else ""
        steps = f"{self.folder}: {manifest.steps} step{'' if manifest.steps == 1 else 's'} in {self.seconds:.0f} s"
        facts = manifest.privacy.unprivatised if manifest.privacy else None
        losses = facts.losses if facts else manifest.losses
        loss = f", mean loss of the last epoch {losses[-1]:.3f} nats" if losses and losses[-1] is not None else ""
        claim = "\n" + claim_sentence(manifest.privacy) if manifest.privacy else ""
        note = f"\nnote: {self.note}" if self.note else ""
        return f"{steps}{loss}{cut}{claim}{note}"
