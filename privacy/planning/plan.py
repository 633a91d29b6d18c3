"""Plans a training: as far as its first step, which is not taken. Spends nothing, writes nothing."""

from __future__ import annotations

import errno
import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.base.files import explain
from harness.checkpoint import NOTHING, Permissions
from harness.errors import UsageError
from harness.provenance.keys import Keys, read_keys
from harness.provenance.manifest import PrivacyClaim
from privacy.planning.cost import Cost, measure
from privacy.planning.modes import ModeOutlook, count_trained, outlooks, trained_weights
from privacy.training.job import Job
from privacy.training.models.load import load_whole, trainable
from privacy.training.private.guarantee import Guarantee, Spent
from privacy.training.private.lineage import check_history
from privacy.training.private.loop import check_lost
from privacy.training.private.session import steps_spent
from privacy.training.private.total import check_totals
from privacy.training.records.result import TrainResult, joined
from privacy.training.settings.spec import TrainSpec
from privacy.training.train import ready, training_note
from privacy.training.train_privately import terms_of


@dataclass(frozen=True, slots=True)
class TrainPlan:
    """Everything known before the first step."""

    spec: TrainSpec
    """With all that was filled in."""
    filled: Mapping[str, object]
    """Settings that the spec left open and privacy filled in."""
    records: int
    steps: int
    done: int
    """Of these, steps that an unfinished run has spent."""
    trained: int
    """Weights."""
    total: int
    model_type: str
    cost: Cost
    guarantee: Guarantee | None
    claim: PrivacyClaim | None
    """As it will stand if no other step is lost."""
    modes: tuple[ModeOutlook, ...]
    note: str | None


def plan_training(
    spec: TrainSpec, *, if_missing: bool = False, replace: bool = False, permissions: Permissions = NOTHING
) -> TrainPlan | TrainResult:
    """The plan of `train` with the same arguments, or its result where the same training is done already.

    Raises what `train` would raise before its first step.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError("--plan measures one process; start it without a launcher")
    started = time.monotonic()
    job = ready(spec, if_missing=if_missing, replace=replace, permissions=permissions)
    if isinstance(job, TrainResult):
        return job
    _check_folder(job.spec.output.parent)
    reading = time.monotonic() - started
    guarantee, claim, done = _promised(job, replace)
    records = len(job.data.members)
    every = guarantee.sampling.steps if guarantee else job.spec.epochs * -(-records // job.spec.batch_size)
    started = time.monotonic()
    whole = load_whole(job.spec, job.base, job.data, job.limit)
    before = reading + time.monotonic() - started
    total = sum(value.numel() for value in whole.model.parameters())
    counts = count_trained(spec, whole)
    model_type = str(whole.model.config.model_type)
    model = trainable(whole, job.spec)
    trained = trained_weights(model)
    cost = measure(job, model, whole.tokenizer, guarantee, every - done, before)
    return TrainPlan(
        spec=job.spec,
        filled=_filled(spec, job.spec),
        records=records,
        steps=every,
        done=done,
        trained=trained,
        total=total,
        model_type=model_type,
        cost=cost,
        guarantee=guarantee,
        claim=claim,
        modes=tuple(outlooks(spec, job.data, counts)) if guarantee else (),
        note=joined(training_note(job), cost.note),
    )


def _promised(job: Job, replace: bool) -> tuple[Guarantee | None, PrivacyClaim | None, int]:
    """The guarantee, its claim, and the steps that an unfinished run has spent."""
    if job.spec.privacy is None:
        check_history(job)
        check_totals(job, replace=replace)
        return None, None, 0
    terms = terms_of(job, job.spec.privacy, lambda: _keys(job.spec.output.parent))
    check_totals(job, terms.guarantee, terms.lineage.composed, replace=replace)
    done, lost = steps_spent(job.spec, terms.header, replace=replace, plain=job.data.members.digest)
    planned = terms.guarantee.sampling.steps
    check_lost(lost, planned, done)
    spent = Spent(planned, lost, ledger="", processes=1, unprivatised=None)
    return terms.guarantee, terms.claim(job, spent), done


def _filled(given: TrainSpec, settled: TrainSpec) -> dict[str, object]:
    values = settled.model_dump()
    found = {name: values[name] for name in sorted(settled.model_fields_set - given.model_fields_set)}
    if given.privacy is not None and settled.privacy is not None:
        for name in sorted(settled.privacy.model_fields_set - given.privacy.model_fields_set):
            found[f"privacy.{name}"] = values["privacy"][name]
    return found


def _keys(folder: Path) -> Keys:
    """Those in `folder`, or some that are never written: where there are none, no digest has one of them."""
    return read_keys(folder) or Keys(own="none", keys={"none": secrets.token_hex(32)})


def _check_folder(folder: Path) -> None:
    """Raises UsageError where the folder could not be made or written."""
    there = next(path for path in (folder, *folder.absolute().parents) if os.path.lexists(path))
    if not there.is_dir():
        raise explain(NotADirectoryError(errno.ENOTDIR, "", str(folder)), folder)
    if not os.access(there, os.W_OK):
        raise explain(PermissionError(errno.EACCES, "", str(folder)), folder)
