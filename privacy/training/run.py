"""One training run in memory: model, records, steps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from accelerate import Accelerator
from accelerate.utils import set_seed
from torch.utils.data import DataLoader

from harness.checkpoint import CheckpointInfo
from harness.checkpoint.hardware import pick_device
from harness.errors import UsageError
from harness.scorer.texts import reads_segments
from privacy.training.batches import Collator, LogicalBatch, padding_values, plan_batches
from privacy.training.data import TrainingData
from privacy.training.engine import PlainEngine
from privacy.training.loop import OnStep, fit
from privacy.training.model import load_trainable
from privacy.training.objective import Objective, causal_lm, classification, masked_lm, with_classes
from privacy.training.spec import TrainSpec
from privacy.training.tokens import Encoded, encode_documents, encode_records


@dataclass(frozen=True, slots=True)
class Trained:
    """What training made, in memory."""

    model: Any
    tokenizer: Any
    steps: int
    losses: tuple[float, ...]
    """Mean record loss of each epoch, nats."""
    truncated: int


def run_training(
    spec: TrainSpec, base: CheckpointInfo | None, data: TrainingData, limit: int, on_step: OnStep
) -> Trained:
    """Train on `data`, records cut at `limit` tokens. The base stays as it is."""
    accelerator = _accelerator(spec.device)
    set_seed(spec.seed)  # before the model: a new head is drawn from it
    model, tokenizer = load_trainable(spec, base, data.label_names, limit)
    encoded = _encode(spec, tokenizer, data, limit, segments=reads_segments(model))
    objective = _objective(spec, tokenizer)
    plan = plan_batches(encoded.lengths, spec.batch_size, spec.epochs, spec.seed)
    collator = Collator(
        objective.add_labels,
        padding_values(tokenizer),
        parts=spec.accumulation,
        pad_left=model.config.model_type == "xlnet",  # it classifies from the last position
    )
    loader: Iterable[LogicalBatch] = DataLoader(
        encoded.records,  # type: ignore[arg-type]  # a list is all the dataset it needs
        batch_sampler=plan,
        collate_fn=collator,
    )
    engine = PlainEngine(accelerator, objective.losses, spec.max_grad_norm)
    losses = fit(engine, model, loader, spec, [len(batch) for batch in plan], on_step)
    return Trained(model.cpu().eval(), tokenizer, len(plan), tuple(losses), encoded.truncated)


def _accelerator(device: str) -> Accelerator:
    accelerator = Accelerator(cpu=pick_device(device) == "cpu", mixed_precision="no")
    if accelerator.num_processes > 1:
        raise UsageError("training runs in one process; start it without a launcher")
    return accelerator


def _encode(spec: TrainSpec, tokenizer: Any, data: TrainingData, limit: int, *, segments: bool) -> Encoded:
    if spec.task == "causal_lm":
        return encode_documents(tokenizer, data.texts, limit)
    encoded = encode_records(tokenizer, data.texts, data.pairs, limit, segments=segments)
    if spec.task == "masked_lm":
        return encoded
    return Encoded(with_classes(encoded.records, data.labels), encoded.truncated)


def _objective(spec: TrainSpec, tokenizer: Any) -> Objective:
    if spec.task == "classification":
        return classification()
    if spec.task == "causal_lm":
        return causal_lm()
    return masked_lm(tokenizer, spec.mlm_probability, spec.seed)
