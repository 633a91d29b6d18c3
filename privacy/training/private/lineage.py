"""What a training's base has read before, and the digests that tell the trainings which start from this one."""

from __future__ import annotations

from pathlib import Path

from harness.base.files import write_bytes
from harness.data.datasets import frame_digest
from harness.provenance.keys import Keys, add_keys
from privacy.lineage import (
    RECORDS_NAME,
    Kept,
    Lineage,
    Records,
    Run,
    Stage,
    kept_bytes,
    known_history,
    records_path,
    trace,
    with_stage,
)
from privacy.training.data.load import TrainingData
from privacy.training.job import Job

UNFINISHED = ""
"""What the digests of an unfinished run have for the weights it is to make."""


def lineage_of(job: Job, keys: Keys, unit: str, *, guarded: bool) -> Lineage:
    """See `trace`. Raises UsageError where the base read the same records and nothing can be claimed."""
    return trace(job.base, records_of(job.data), unit, keys, guarded=guarded)


def check_history(job: Job) -> None:
    """Raises UsageError for damaged or edited digests beside the base: better before a training than after it."""
    if job.base is not None:
        known_history(job.base)


def history_of(
    job: Job, lineage: Lineage, keys: Keys, weights: str, run: Run | None, outside: tuple[str, ...] = ()
) -> bytes:
    """The file with the history of the new checkpoint; `run` is its ledger's, None without privacy."""
    return kept_bytes(_kept(job, lineage, keys, weights, run, outside))


def keep_history(job: Job, lineage: Lineage, history: bytes) -> None:
    """Write it beside the new checkpoint, readable by its owner only, with the keys of what came before."""
    add_keys(job.spec.output.parent, lineage.keys)
    write_bytes(records_path(job.spec.output), history, private=True)


def keep_unfinished(folder: Path, job: Job, lineage: Lineage, keys: Keys, run: Run) -> None:
    """Write into the folder of an unfinished run which records it reads: what it spends counts, finished or not."""
    path = folder / RECORDS_NAME
    if not path.exists():
        write_bytes(path, kept_bytes(_kept(job, lineage, keys, UNFINISHED, run, ())), private=True)


def _kept(job: Job, lineage: Lineage, keys: Keys, weights: str, run: Run | None, outside: tuple[str, ...]) -> Kept:
    data = job.data
    records = records_of(data, corpus=run is None and job.spec.fresh is not None)
    stage = Stage(
        weights=weights,
        records=len(data.members),
        key=keys.own,
        run=run,
        outside=outside,
        pairs=data.pairs is not None,
    )
    texts, units = records.text_digests(keys.own_key), records.unit_digests(keys.own_key)
    return with_stage(lineage, stage, texts, units)


def records_of(data: TrainingData, *, corpus: bool = False) -> Records:
    """What a training on `data` reads.

    `corpus`: with the texts that its tokenizer learnt from, which the checkpoint tells of too.
    """
    frame = data.members.frame
    without = frame.drop(columns="label", errors="ignore")
    digests = frozenset({data.members.digest, data.listed.digest, frame_digest(without)})
    texts = [*data.texts, *data.corpus] if corpus else data.texts
    return Records(texts, None if corpus else data.pairs, data.units, digests, data.units_as_written)
