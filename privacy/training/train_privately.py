"""`assay train` with a guarantee: planned, trained under a ledger, claimed from it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

from accelerate import Accelerator

from harness.base.files import write_bytes
from harness.checkpoint.hardware import pick_device
from harness.provenance.keys import Keys, keyed, own_keys
from harness.provenance.manifest import PrivacyClaim
from privacy.ledger import LedgerHeader
from privacy.ledger.chain import ledger_bytes
from privacy.lineage import LEDGER_NAME, Lineage, Run, earlier_ledger, mechanism_of_header, records_artefact
from privacy.sampling import check_alone
from privacy.training.job import Job
from privacy.training.models.fresh import records_in_corpus
from privacy.training.private.aside import named_aside
from privacy.training.private.beforehand import check_claimable
from privacy.training.private.guarantee import Guarantee, Spent, claim_of, plan_guarantee
from privacy.training.private.lineage import history_of, keep_history, keep_unfinished, lineage_of
from privacy.training.private.ranks import Ranks
from privacy.training.private.session import ledger_header, open_session
from privacy.training.private.sharding import check_sharding
from privacy.training.private.total import within_total
from privacy.training.provenance import make_manifest
from privacy.training.records.result import Made
from privacy.training.records.save import keep_canaries, partial_folder, write_manifest, write_weights
from privacy.training.records.step_rows import write_step_rows
from privacy.training.run import run_private_training
from privacy.training.settings.privacy_spec import PrivacySpec


def train_privately(job: Job, privacy: PrivacySpec, *, replace: bool) -> Made:
    """The finished checkpoint. Goes on with a run that was stopped."""
    Accelerator(cpu=pick_device(job.spec.device) == "cpu")  # joins the processes of the launcher, if there is one
    ranks = Ranks.current()
    check_sharding(privacy, ranks.world)
    terms = terms_of(job, privacy, lambda: _agreed(job, ranks), ranks.world)
    guarantee, keys, lineage, header = terms.guarantee, terms.keys, terms.lineage, terms.header
    with within_total(job, guarantee, lineage.composed, replace=replace) if ranks.first else nullcontext():
        session = open_session(job.spec, header, ranks, replace=replace, plain=job.data.members.digest)
    try:
        if ranks.first:
            chain = session.chain
            keep_unfinished(session.folder, job, lineage, keys, Run(header=chain.header, spent=0, head=chain.head))
        trained = run_private_training(job, guarantee, session, ranks)
        assert trained.spent is not None  # a private run always says
        claim = terms.claim(job, trained.spent)
        chain = session.chain
        digest_keys = keys if chain.header.digest_key else None  # a run begun by an older version has none
        run = Run(header=chain.header, spent=chain.spent, head=chain.head)
        history_for = partial(history_of, job, lineage, keys, run=run, outside=_outside(job))
        make = partial(make_manifest, job, trained, privacy=claim, keys=digest_keys)
        if not ranks.first:
            return Made(make("", records_artefact(history_for(""))), trained.truncated, trained.note)
        with partial_folder(job.spec.output, replace=replace) as folder:
            shutil.copyfile(session.folder / LEDGER_NAME, folder / LEDGER_NAME)
            for number, each in enumerate(lineage.composed, start=1):
                write_bytes(folder / earlier_ledger(number), ledger_bytes(each.run.header, each.run.spent))
            weights = write_weights(folder, trained.model, trained.tokenizer)
            history = history_for(weights)
            manifest = make(weights, records_artefact(history))
            write_manifest(folder, manifest)
        keep_canaries(job.spec)
        keep_history(job, lineage, history)
        write_step_rows(job.spec.output, trained.progress, manifest.weights)
        session.remove()
        return Made(manifest, trained.truncated, trained.note)
    except BaseException:
        session.remove_unspent()
        raise
    finally:
        session.close()


def _agreed(job: Job, ranks: Ranks) -> Keys:
    keys = ranks.agree(own_keys(job.spec.output.parent) if ranks.first else None)
    assert keys is not None  # the first process has them
    return keys


@dataclass(frozen=True, slots=True)
class Terms:
    """What a private run promises before its first step."""

    guarantee: Guarantee
    keys: Keys
    lineage: Lineage
    header: LedgerHeader

    def claim(self, job: Job, spent: Spent) -> PrivacyClaim:
        """What may be claimed of `job` once so much is spent."""
        own, before = self.guarantee, self.lineage
        outside = (*_outside(job), *before.outside, *_aside(job, own, before, spent.steps))
        return claim_of(own, job.spec, spent, outside, before.composed)


def terms_of(job: Job, privacy: PrivacySpec, keys_of: Callable[[], Keys], processes: int = 1) -> Terms:
    """What `job` may promise, by the keys of the folder of its output. Raises UsageError where it may not be trained.

    Writes nothing itself; `keys_of` is asked once it is known that a guarantee can be given.
    """
    guarantee = plan_guarantee(job.spec, privacy, job.data)
    check_alone(guarantee.sampling, processes)
    keys = keys_of()
    lineage = lineage_of(job, keys, guarantee.unit.name, guarded=guarantee.noise_multiplier > 0)
    check_claimable(job.spec, guarantee, lineage.composed)
    header = ledger_header(
        job.spec,
        guarantee,
        keyed(job.data.members.digest, keys.own_key),
        job.base.fingerprint.digest if job.base else None,
        processes,
        digest_key=keys.own,
        earlier=tuple(each.run.head for each in lineage.composed),
    )
    return Terms(guarantee, keys, lineage, header)


def _aside(job: Job, guarantee: Guarantee, lineage: Lineage, steps: int) -> tuple[str, ...]:
    own = guarantee.sampling.mechanism(guarantee.noise_multiplier, steps, guarantee.unit.group)
    earlier = [mechanism_of_header(each.run.header, each.run.spent, each.group) for each in lineage.composed]
    return named_aside(job.spec.output, guarantee, (own, *earlier))


def _outside(job: Job) -> tuple[str, ...]:
    """Parts of the checkpoint that were made from the records without noise."""
    fresh = job.spec.fresh
    if fresh is None or fresh.corpus is None:
        return ()
    shared = records_in_corpus(job.data)
    return (f"the tokenizer's vocabulary: {shared} texts of its corpus are training records",) if shared else ()
