"""`assay train` with a guarantee: planned, trained under a ledger, claimed from it."""

from __future__ import annotations

import shutil

from accelerate import Accelerator

from harness.checkpoint.hardware import pick_device
from harness.manifest import TrainingManifest
from privacy.training.fresh import records_in_corpus
from privacy.training.guarantee import claim_of, plan_guarantee
from privacy.training.job import Job
from privacy.training.privacy_spec import PrivacySpec
from privacy.training.provenance import make_manifest
from privacy.training.ranks import Ranks
from privacy.training.run import run_private_training
from privacy.training.save import partial_folder, write_checkpoint
from privacy.training.session import LEDGER_NAME, ledger_header, open_session
from privacy.training.step_rows import write_step_rows


def train_privately(job: Job, privacy: PrivacySpec, *, replace: bool) -> tuple[TrainingManifest, int]:
    """The manifest of the finished checkpoint, and how many records were cut. Goes on with a run that was stopped."""
    Accelerator(cpu=pick_device(job.spec.device) == "cpu")  # joins the processes of the launcher, if there is one
    ranks = Ranks.current()
    guarantee = plan_guarantee(job.spec, privacy, job.data)
    base = job.base.fingerprint.digest if job.base else None
    header = ledger_header(job.spec, guarantee, job.data.members.digest, base, ranks.world)
    session = open_session(job.spec, header, ranks, replace=replace)
    try:
        trained = run_private_training(job, guarantee, session, ranks)
        assert trained.spent is not None  # a private run always says
        claim = claim_of(guarantee, job.spec, trained.spent, _outside(job))
        if not ranks.first:
            return make_manifest(job, trained, "", claim), trained.truncated
        with partial_folder(job.spec.output) as folder:
            shutil.copyfile(session.folder / LEDGER_NAME, folder / LEDGER_NAME)
            manifest = write_checkpoint(
                folder, trained.model, trained.tokenizer, lambda weights: make_manifest(job, trained, weights, claim)
            )
        write_step_rows(job.spec.output, trained.progress, manifest.weights)
    finally:
        session.close()
    session.remove()
    return manifest, trained.truncated


def _outside(job: Job) -> tuple[str, ...]:
    """Parts of the checkpoint that were made from the records without noise."""
    fresh = job.spec.fresh
    if fresh is None or fresh.corpus is None:
        return ()
    shared = records_in_corpus(job.data)
    return (f"the tokenizer's vocabulary: {shared} texts of its corpus are training records",) if shared else ()
