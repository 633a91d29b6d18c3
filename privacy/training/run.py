"""One training run in memory: model, records, steps."""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch.utils.data import DataLoader

from harness.checkpoint.hardware import pick_device
from harness.errors import UsageError
from harness.scorer.tokenization.texts import reads_segments
from privacy.sampling import fresh_torch_generator
from privacy.training.data.batches import Collator, LogicalBatch, padding_values, plan_batches
from privacy.training.data.completions import encode_completions
from privacy.training.data.load import TrainingData
from privacy.training.data.tokens import Encoded, check_maskable, encode_documents, encode_records
from privacy.training.job import Job
from privacy.training.models.cached_features import BATCH, as_rows, cached_head, can_cache
from privacy.training.models.frozen_below import Below, find_below, read_all_below, without_below
from privacy.training.models.load import finished, load_trainable
from privacy.training.models.memory import device_name
from privacy.training.models.next_sentence import next_sentence, sentence_order, sentence_pairs
from privacy.training.models.objective import (
    Objective,
    causal_lm,
    classification,
    completion_lm,
    in_bf16,
    masked_lm,
    with_classes,
)
from privacy.training.models.quantization import described
from privacy.training.plain.engine import PlainEngine
from privacy.training.plain.loop import fit
from privacy.training.private.beforehand import check_masks
from privacy.training.private.guarantee import Guarantee, Spent
from privacy.training.private.loop import PrivateTraining
from privacy.training.private.padding import padded_length, padding_note
from privacy.training.private.ranks import Ranks
from privacy.training.private.session import Session
from privacy.training.records.progress import RunProgress
from privacy.training.settings.spec import TrainSpec
from privacy.training.work import Work


@dataclass(frozen=True, slots=True)
class Trained:
    """What training made, in memory."""

    model: Any
    tokenizer: Any
    steps: int
    losses: tuple[float, ...]
    """Mean record loss of each epoch, nats; empty for a private run."""
    truncated: int
    device: str
    progress: RunProgress
    objective: str
    """What was minimised."""
    quantized: str | None
    """How the base was kept in few bits."""
    spent: Spent | None = None
    """What a private run did."""
    note: str | None = None
    """What its steps cost more than they need to, and why."""


def run_training(job: Job) -> Trained:
    """Train without a guarantee. The base stays as it is."""
    spec = job.spec
    accelerator = plain_accelerator(spec.device)
    work, tokenizer, _ = _prepare(job, accelerator.device)
    plan = plan_batches(work.encoded.lengths, spec.batch_size, spec.epochs, spec.seed)
    loader: Iterable[LogicalBatch] = DataLoader(
        work.encoded.records,  # type: ignore[arg-type]  # a list is all the dataset it needs
        batch_sampler=plan,
        collate_fn=work.collator,
    )
    engine = PlainEngine(accelerator, work.objective.losses, spec.max_grad_norm)
    progress = RunProgress()
    losses = fit(engine, work.model, loader, spec, [len(batch) for batch in plan], job.on_step, progress)
    quantized = described(work.whole)
    return Trained(
        finished(work.whole.cpu().eval()),
        tokenizer,
        len(plan),
        tuple(losses),
        work.encoded.truncated,
        device_name(work.device),
        progress,
        work.objective.name,
        quantized,
    )


def run_private_training(job: Job, guarantee: Guarantee, session: Session, ranks: Ranks) -> Trained:
    """As `run_training`, under `guarantee`; goes on where `session` was left."""
    work, tokenizer, note = _prepare(job, Accelerator(cpu=pick_device(job.spec.device) == "cpu").device)
    work.model.to(work.device)
    training = PrivateTraining(work, guarantee, session, ranks)
    _hide_dropout()
    training.run(job.on_step)
    chain = session.chain
    spent = Spent(
        steps=chain.spent,
        lost=chain.spent - len(training.progress.steps),
        ledger=chain.head,
        processes=ranks.world,
        unprivatised=training.progress.summary(guarantee.sampling.steps, job.spec.epochs),
    )
    quantized = described(work.whole)
    model = finished(work.whole.cpu().eval())
    device, truncated, progress = device_name(work.device), work.encoded.truncated, training.progress
    name = work.objective.name
    return Trained(model, tokenizer, chain.spent, (), truncated, device, progress, name, quantized, spent, note)


def _hide_dropout() -> None:
    """Known dropout masks would shift for all records after one that is left out: its influence had no bound."""
    torch.manual_seed(secrets.randbits(63))
    torch.set_rng_state(fresh_torch_generator().get_state())  # of the CPU a seed fills 32 bits only


def _prepare(job: Job, device: torch.device) -> tuple[Work, Any, str | None]:
    """What steps are made of, the tokenizer, and what is to be said of padding."""
    set_seed(job.spec.seed)  # before the model: a new head is drawn from it
    model, tokenizer = load_trainable(job.spec, job.base, job.data, job.limit)
    work = make_work(job, model, tokenizer, device)
    note = padding_note(work)
    if job.spec.mode == "head" and can_cache(model):
        head = cached_head(model, job, work.encoded, work.collator, device, work.length)
        work = replace(work, model=head, encoded=as_rows(work.encoded), length=None)
    elif (below := layers_below(work)) is not None:
        states = read_all_below(
            below, work.encoded, work.collator, device, lambda done, of: job.on_step(done, of, math.nan)
        )
        work = replace(work, encoded=without_below(below, work.encoded, states))
    return work, tokenizer, note


def layers_below(work: Work) -> Below | None:
    """Frozen layers that are read once for all steps; None where each step reads them."""
    if work.length is not None or Ranks.current().world > 1:
        return None  # the model sees padding; or its parameters lie in several processes
    return find_below(work.model, work.spec.task, work.encoded, work.collator, work.device)


def make_work(job: Job, model: Any, tokenizer: Any, device: torch.device) -> Work:
    """Records and loss for the steps of `model`."""
    spec, data, limit = job.spec, job.data, job.limit
    check_masks(model)
    encoded = _encode(spec, tokenizer, data, limit, segments=reads_segments(model))
    objective = _objective(spec, tokenizer, encoded, limit)
    collator = Collator(
        objective.add_labels,
        padding_values(tokenizer),
        parts=spec.accumulation,
        pad_left=model.config.model_type == "xlnet",  # it classifies from the last position
    )
    work = Work(spec, model, objective, collator, encoded, device, model)
    if spec.privacy is None:
        return work
    job.on_step(0, 0, math.nan)  # on large models the comparison takes a while
    return replace(work, length=padded_length(work, tokenizer, limit, together=_together(spec, model)))


def _together(spec: TrainSpec, model: Any) -> int:
    """Records that the model reads together, at most."""
    if spec.mode == "head" and can_cache(model):
        return BATCH
    return 1 if spec.privacy is not None and spec.privacy.engine == "one-sample" else spec.micro_batch


def plain_accelerator(device: str) -> Accelerator:
    """For training without a guarantee. Raises UsageError under a launcher of several processes."""
    accelerator = Accelerator(cpu=pick_device(device) == "cpu", mixed_precision="no")
    if accelerator.num_processes > 1:
        raise UsageError("training runs in one process; start it without a launcher")
    return accelerator


def _encode(spec: TrainSpec, tokenizer: Any, data: TrainingData, limit: int, *, segments: bool) -> Encoded:
    if spec.completions != "none":
        assert data.pairs is not None  # its schema asks for them
        return encode_completions(tokenizer, data.texts, data.pairs, limit, chat=spec.completions == "chat")
    if spec.task == "causal_lm":
        return encode_documents(tokenizer, data.texts, limit)
    if spec.task == "classification":
        encoded = encode_records(tokenizer, data.texts, data.pairs, limit, segments=segments)
        return Encoded(with_classes(encoded.records, data.labels), encoded.truncated)
    texts, pairs = sentence_pairs(data.texts, data.pairs) if spec.next_sentence else (data.texts, None)
    encoded = encode_records(tokenizer, texts, pairs, limit, segments=segments)
    check_maskable(tokenizer, encoded.records)
    return encoded


def _objective(spec: TrainSpec, tokenizer: Any, encoded: Encoded, limit: int) -> Objective:
    # known masks would be drawn otherwise for all records after one that is left out: its influence had no bound
    seed = spec.seed if spec.privacy is None else secrets.randbits(63)
    if spec.task == "classification":
        objective = classification()
    elif spec.task == "causal_lm":
        objective = causal_lm() if spec.completions == "none" else completion_lm()
    else:
        objective = masked_lm(tokenizer, spec.mlm_probability, seed)
    if spec.next_sentence:
        objective = (
            next_sentence(objective, encoded.records, limit, seed)
            if spec.privacy is None
            else sentence_order(objective, encoded.records, seed)
        )
    return in_bf16(objective) if spec.precision == "bf16" else objective
