"""What `assay train` made, and how it says so."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.provenance.claim import claim_sentence
from harness.provenance.manifest import TrainingManifest

_WORSE = 1.1
"""Times the loss of guessing from which on a run has gone wrong; one that has just begun to learn is near to 1."""


@dataclass(frozen=True, slots=True)
class Made:
    """A checkpoint that this call has written."""

    manifest: TrainingManifest
    truncated: int
    """Records cut at max_tokens."""
    note: str | None = None
    """What whoever trains must know of its steps."""


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
        cut = f", {self.truncated} of {manifest.trained_n} records cut at the token limit" if self.truncated else ""
        steps = f"{self.folder}: {manifest.steps} step{'' if manifest.steps == 1 else 's'} in {self.seconds:.0f} s"
        facts = manifest.privacy.unprivatised if manifest.privacy else None
        losses = facts.losses if facts else manifest.losses
        loss = f", mean loss of the last epoch {losses[-1]:.3f} nats" if losses and losses[-1] is not None else ""
        claim = "\n" + claim_sentence(manifest.privacy) if manifest.privacy else ""
        said = joined(self.note, _no_better_than_guessing(manifest, losses))
        note = f"\nnote: {said}" if said else ""
        return f"{steps}{loss}{cut}{claim}{note}"


def joined(*notes: str | None) -> str | None:
    """What is there of the notes, one after the other; None where nothing is."""
    return "; ".join(note for note in notes if note) or None


def _no_better_than_guessing(manifest: TrainingManifest, losses: Sequence[float | None]) -> str | None:
    """A classifier that has learnt nothing looks like any other, but for its loss."""
    last = losses[-1] if losses else None
    if last is None or len(manifest.label_names) < 2 or last <= _WORSE * (guess := math.log(len(manifest.label_names))):
        return None
    return (
        f"guessing among {len(manifest.label_names)} classes has a loss of {guess:.3f} nats, so this model has learnt "
        "nothing that helps: lower learning_rate, or with privacy train fewer weights or take a larger epsilon"
    )
