"""Fine-tunes a checkpoint and writes it with its training manifest."""

from __future__ import annotations

import time

from harness.api.progress import OnStep
from harness.base.files import make_folder
from harness.checkpoint import NOTHING, CheckpointInfo, Permissions, inspect_checkpoint
from harness.errors import UsageError
from harness.provenance.keys import own_keys
from privacy.training.data.load import TrainingData, load_training_data
from privacy.training.data.planted import plant
from privacy.training.job import Job
from privacy.training.models.heads import new_head_note
from privacy.training.records.result import Made, TrainResult, joined
from privacy.training.records.save import (
    check_output,
    finished_checkpoint,
    keep_canaries,
    partial_folder,
    write_manifest,
    write_weights,
)
from privacy.training.settings.defaults import with_defaults
from privacy.training.settings.spec import TrainSpec

DEFAULT_MAX_TOKENS = 512


def train(
    spec: TrainSpec,
    *,
    progress: OnStep | None = None,
    if_missing: bool = False,
    replace: bool = False,
    permissions: Permissions = NOTHING,
) -> TrainResult:
    """Fine-tune as `spec` says. The output appears whole or not at all; an existing one is refused unless `replace`.

    With `if_missing` (and not `replace`) the same training already finished there is returned as it is. Without
    privacy the same spec gives bit-equal weights on the same CPU and number of threads (CUDA kernels may differ in the
    last bits); with privacy no two runs are alike, and one that was stopped goes on where it was. `permissions`: what
    the user allows the base.

    Raises UsageError, CheckpointError or DataError before training, also where a total that was stated would be passed;
    AuditError when the loss stops being a number.
    """
    started = time.monotonic()
    job = ready(spec, progress=progress, if_missing=if_missing, replace=replace, permissions=permissions, keep=True)
    if isinstance(job, TrainResult):
        return job
    make_folder(job.spec.output.parent)
    if job.spec.privacy is None:
        made = _train_plainly(job, replace)
    else:
        from privacy.training.train_privately import train_privately

        made = train_privately(job, job.spec.privacy, replace=replace)
    seconds = time.monotonic() - started
    note = joined(training_note(job), made.note)
    return TrainResult(job.spec.output, made.manifest, True, seconds, made.truncated, note)


def ready(
    spec: TrainSpec,
    *,
    progress: OnStep | None = None,
    if_missing: bool = False,
    replace: bool = False,
    permissions: Permissions = NOTHING,
    keep: bool = False,
) -> Job | TrainResult:
    """What `train` would start, or what it would find done already; see `train`.

    Writes nothing but, where `keep`, the canaries it has drawn.
    """
    started = time.monotonic()
    base = None
    if spec.base is not None and spec.privacy is not None and not spec.label_names:
        base = inspect_checkpoint(spec.base, permissions)  # it may name the classes
    data = load_training_data(spec, base)
    spec = with_defaults(spec, len(data.members))
    if if_missing and not replace:
        done = finished_checkpoint(spec, data.listed.digest)
        if done is not None:
            return TrainResult(spec.output, done, False, time.monotonic() - started, None)
    check_output(spec, replace)
    base = base or (inspect_checkpoint(spec.base, permissions) if spec.base else None)
    if spec.canaries is not None:
        data = plant(spec, base, data, keep=keep)
    return Job(spec, base, data, _token_limit(spec, base), progress or (lambda step, steps, loss: None), started)


def training_note(job: Job) -> str | None:
    """What whoever trains must know before and after."""
    return joined(new_head_note(job.spec, job.base), _dropped(job.data))


def _dropped(data: TrainingData) -> str | None:
    if not data.dropped:
        return None
    return f"{data.dropped} records have labels that are none of the classes and were not trained on"


def _train_plainly(job: Job, replace: bool) -> Made:
    from privacy.lineage import records_artefact
    from privacy.training.data.units import EACH_RECORD
    from privacy.training.private.lineage import check_history, history_of, keep_history, lineage_of
    from privacy.training.private.total import within_total
    from privacy.training.provenance import make_manifest
    from privacy.training.records.step_rows import write_step_rows
    from privacy.training.run import run_training  # torch is imported only when there is something to train

    check_history(job)
    with within_total(job, replace=replace):
        pass
    trained = run_training(job)
    keys = own_keys(job.spec.output.parent)
    lineage = lineage_of(job, keys, EACH_RECORD, guarded=False)
    with partial_folder(job.spec.output, replace=replace) as folder:
        weights = write_weights(folder, trained.model, trained.tokenizer)
        history = history_of(job, lineage, keys, weights, None)
        manifest = make_manifest(job, trained, weights, records_artefact(history))
        write_manifest(folder, manifest)
    keep_canaries(job.spec)
    keep_history(job, lineage, history)
    write_step_rows(job.spec.output, trained.progress, manifest.weights)
    return Made(manifest, trained.truncated)


def _token_limit(spec: TrainSpec, base: CheckpointInfo | None) -> int:
    most = base.max_tokens if base else spec.fresh.max_tokens if spec.fresh else DEFAULT_MAX_TOKENS
    if spec.max_tokens is None:
        return min(DEFAULT_MAX_TOKENS, most)
    if spec.max_tokens > most:
        raise UsageError(f"max_tokens: {spec.max_tokens} is more than the {most} that the model reads")
    return spec.max_tokens
