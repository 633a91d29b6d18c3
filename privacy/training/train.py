"""Fine-tunes a checkpoint and writes it with its training manifest."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from harness.audit import package_versions
from harness.checkpoint import CheckpointInfo, inspect_checkpoint
from harness.errors import UsageError
from harness.manifest import TrainingManifest
from privacy.training.data import TrainingData, load_training_data
from privacy.training.save import check_output, finished_checkpoint, partial_folder, write_checkpoint
from privacy.training.spec import TrainSpec

if TYPE_CHECKING:
    from privacy.training.run import Trained

OnStep = Callable[[int, int, float], None]
"""Called after each optimizer step with: steps taken, steps planned, mean loss of the last steps, nats per record."""

DEFAULT_MAX_TOKENS = 512


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
        cut = (
            f", {self.truncated} of {self.manifest.members_n} records cut at the token limit" if self.truncated else ""
        )
        return (
            f"{self.folder}: {self.manifest.steps} steps in {self.seconds:.0f} s, "
            f"mean loss of the last epoch {self.manifest.losses[-1]:.3f} nats{cut}"
        )


def train(
    spec: TrainSpec, *, progress: OnStep | None = None, if_missing: bool = False, replace: bool = False
) -> TrainResult:
    """Fine-tune as `spec` says. The output appears whole or not at all; an existing one is refused unless `replace`.

    With `if_missing` (and not `replace`) the same training already finished there is returned as it is. The same spec
    gives bit-equal weights on the same CPU and number of threads; CUDA kernels may differ in the last bits.

    Raises UsageError, CheckpointError or DataError before training; AuditError when the loss stops being a number.
    """
    started = time.monotonic()
    data = load_training_data(spec)
    if if_missing and not replace:
        done = finished_checkpoint(spec, data.members.digest)
        if done is not None:
            return TrainResult(spec.output, done, False, time.monotonic() - started, None)
    check_output(spec, replace)
    base = inspect_checkpoint(spec.base) if spec.base else None
    limit = _token_limit(spec, base)

    from privacy.training.run import run_training  # torch is imported only when there is something to train

    trained = run_training(spec, base, data, limit, progress or (lambda step, steps, loss: None))
    with partial_folder(spec.output) as folder:
        manifest = write_checkpoint(
            folder, trained.model, trained.tokenizer, lambda weights: _manifest(spec, base, data, trained, weights)
        )
    return TrainResult(spec.output, manifest, True, time.monotonic() - started, trained.truncated)


def _token_limit(spec: TrainSpec, base: CheckpointInfo | None) -> int:
    most = base.max_tokens if base else spec.fresh.max_tokens if spec.fresh else DEFAULT_MAX_TOKENS
    if spec.max_tokens is None:
        return min(DEFAULT_MAX_TOKENS, most)
    if spec.max_tokens > most:
        raise UsageError(f"max_tokens: {spec.max_tokens} is more than the {most} that the model reads")
    return spec.max_tokens


def _manifest(
    spec: TrainSpec, base: CheckpointInfo | None, data: TrainingData, trained: Trained, weights: str
) -> TrainingManifest:
    held_out = data.non_members
    return TrainingManifest(
        task=spec.task,
        base=base.source.source if base else None,
        base_fingerprint=base.fingerprint.digest if base else None,
        weights=weights,
        members=data.members.source,
        members_digest=data.members.digest,
        members_n=len(data.members),
        non_members=held_out.source if held_out else None,
        non_members_digest=held_out.digest if held_out else None,
        non_members_n=len(held_out) if held_out else 0,
        label_names=data.label_names,
        seed=spec.seed,
        config=spec.canonical(),
        steps=trained.steps,
        losses=trained.losses,
        versions={**package_versions(), "accelerate": version("accelerate")},
    )
