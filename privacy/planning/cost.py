"""Time and memory of a training, measured on a few of its own micro-batches.

No noisy sum of records is released, nothing is spent and nothing written: the gradients are clipped and thrown away,
and the step that is timed is one of noise alone, which no record is in.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from harness.checkpoint.hardware import pick_device
from privacy.clipping import ClippingEngine
from privacy.sampling import micro_batches
from privacy.training.data.batches import plan_batches
from privacy.training.job import Job
from privacy.training.models.averaging import WeightAverage
from privacy.training.models.cached_features import BATCH, can_cache, features_kept, rehearsed_head
from privacy.training.models.frozen_below import BATCH as FROZEN_BATCH
from privacy.training.models.frozen_below import Below, read_below, without_below
from privacy.training.models.memory import device_name, peak_memory
from privacy.training.plain.engine import PlainEngine
from privacy.training.plain.loop import make_optimizer
from privacy.training.private.guarantee import Guarantee
from privacy.training.private.loop import PrivateTraining
from privacy.training.private.padding import padding_note
from privacy.training.private.ranks import Ranks
from privacy.training.private.session import Session
from privacy.training.private.shared_step import SharedOptimizer
from privacy.training.records.progress import RunProgress
from privacy.training.run import layers_below, make_work, plain_accelerator
from privacy.training.work import Work

_PARTS = 3
"""Micro-batches that are timed, at least: a short, a middling and a long one."""
_RECORDS = 32
"""Records that are timed, at least: one at a time they differ too much."""
_PASSES, _SHORT = 5, 2.0
"""Passes over micro-batches that take so many seconds: on a machine that does other things single times are off."""
_PATIENCE = 20.0
"""Seconds after which no other micro-batch is begun."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a training takes."""

    seconds: float
    """From the command to the last step."""
    reading: float
    """Of these, what a frozen encoder takes to read all records; 0 where each step reads its own."""
    step: float
    """Seconds of a step."""
    records: int
    """Records it was measured on."""
    memory: int
    """Bytes; see `peak_memory`."""
    device: str
    truncated: int
    """Records cut at the token limit."""
    note: str | None = None
    """What steps cost more than they need to, and why."""


class _Rehearsal(Session):
    """A session of which nothing is kept."""

    def spend(self, step: int) -> None:
        """Nothing is released."""

    def restore(self, engine: ClippingEngine, optimizer: SharedOptimizer, average: WeightAverage) -> RunProgress:
        """There is nothing to go on from."""
        return RunProgress()


@dataclass(frozen=True, slots=True)
class _Trial:
    """Calls that do what a step does."""

    longest: Callable[[], object]
    """What takes most memory; the first call is slow, as engines check themselves."""
    parts: Sequence[tuple[int, Callable[[], object]]]
    """To be timed: records, and the call; evenly spread over the parts of steps, the longest first."""
    parts_of_step: int
    release: Callable[[], object] | None
    """What a step does once, whatever its records."""
    close: Callable[[], object]


def measure(job: Job, model: Any, tokenizer: Any, guarantee: Guarantee | None, steps: int, before: float) -> Cost:
    """Cost of `steps` steps of `job` on the trainable `model`, which is changed; `before`: seconds spent by now.

    Raises what the first step of the training would raise.
    """
    started = time.monotonic()
    plain = plain_accelerator(job.spec.device) if guarantee is None else None
    device = plain.device if plain else Accelerator(cpu=pick_device(job.spec.device) == "cpu").device
    work = make_work(job, model, tokenizer, device)
    note = padding_note(work)
    preparing = time.monotonic() - started
    reading = 0.0
    if job.spec.mode == "head" and can_cache(model):
        kept = features_kept(model, job, work.encoded, work.length)
        work, reading = _through_features(work)
        reading *= not kept
    elif (below := layers_below(work)) is not None:
        work, reading = _above_frozen(work, below)
    work.model.to(device)
    trial = _private_trial(work, guarantee) if guarantee else _plain_trial(work, plain)
    try:
        trial.longest()
        part, timed = _typical_seconds(trial.parts, device)
        release = _typical_seconds([(0, trial.release)], device)[0] if trial.release else 0.0
    finally:
        trial.close()
    step = trial.parts_of_step * part + release
    total = before + preparing + reading + steps * step
    return Cost(total, reading, step, timed, peak_memory(), device_name(device), work.encoded.truncated, note)


def _private_trial(work: Work, guarantee: Guarantee) -> _Trial:
    training = PrivateTraining(work, guarantee, _Rehearsal(Path(), None, 0), Ranks())
    micro, lengths = 1 if guarantee.spec.engine == "one-sample" else work.spec.micro_batch, work.encoded.lengths
    longest = micro_batches(range(len(lengths)), lengths, micro)[0]
    size = min(work.spec.batch_size, len(lengths))
    drawn = np.random.default_rng(work.spec.seed).choice(len(lengths), size, replace=False)  # as a step might
    parts = micro_batches(drawn.tolist(), lengths, micro)

    def first() -> None:
        training.rehearse(longest)
        training.rehearse_noise()  # the optimizer's state is memory too

    timed = [(len(part), partial(training.rehearse, part)) for part in _spread(parts)]
    return _Trial(first, timed, len(parts), training.rehearse_noise, training.close)


def _plain_trial(work: Work, accelerator: Accelerator | None) -> _Trial:
    spec, lengths = work.spec, work.encoded.lengths
    engine = PlainEngine(accelerator, work.objective.losses, spec.max_grad_norm)
    plan = plan_batches(lengths, spec.batch_size, spec.epochs, spec.seed)
    plan.sort(key=lambda batch: max(lengths[row] for row in batch), reverse=True)
    optimizer = make_optimizer(work.model, spec)
    for group in optimizer.param_groups:
        group["lr"] = 0.0  # the weights stay as they are, so that no loss runs away
    engine.prepare(work.model, optimizer, [])
    work.model.train()

    def step(rows: list[int]) -> float:
        parts = work.collator([work.encoded.records[row] for row in rows])
        return engine.step([{name: value.to(work.device) for name, value in part.items()} for part in parts])

    timed = [(len(rows), partial(step, rows)) for rows in _spread(plan)]
    return _Trial(partial(step, plan[0]), timed, 1, None, lambda: None)


def _through_features(work: Work) -> tuple[Work, float]:
    """The head alone, over features of a few records, and the seconds it takes to read those of all."""
    lengths = work.encoded.lengths
    order = sorted(range(len(lengths)), key=lambda row: lengths[row], reverse=True)
    reading = partial(
        rehearsed_head, work.model, work.encoded, collator=work.collator, device=work.device, length=work.length
    )
    reading(order[:BATCH])  # not timed, and what takes most memory
    parts = _spread(micro_batches(order, lengths, BATCH))
    seconds, _ = _mean_seconds([(len(part), partial(reading, part)) for part in parts], work.device)
    head, encoded = reading(parts[-1])
    work = replace(work, model=head, encoded=encoded, length=None)
    return work, seconds * math.ceil(len(lengths) / BATCH)


def _above_frozen(work: Work, below: Below) -> tuple[Work, float]:
    """The layers that are trained, over the states of a few records, and the seconds it takes to read those of all."""
    lengths = work.encoded.lengths
    order = sorted(range(len(lengths)), key=lambda row: lengths[row], reverse=True)

    def reading(rows: list[int]) -> torch.Tensor:
        return read_below(below, [work.encoded.records[row] for row in rows], work.collator, work.device)

    reading(order[:FROZEN_BATCH])  # not timed, and what takes most memory
    parts = _spread(micro_batches(order, lengths, FROZEN_BATCH))
    seconds, _ = _mean_seconds([(len(part), partial(reading, part)) for part in parts], work.device)
    some = reading(parts[-1])
    stand_ins = some[torch.arange(sum(lengths)) % len(some)]
    encoded = without_below(below, work.encoded, stand_ins)
    return replace(work, encoded=encoded), seconds * math.ceil(len(lengths) / FROZEN_BATCH)


def _spread(parts: Sequence[list[int]]) -> list[list[int]]:
    """A few of `parts`, evenly over their order."""
    count = min(len(parts), max(_PARTS, -(-_RECORDS // max(map(len, parts)))))
    return [parts[int((place + 0.5) * len(parts) / count)] for place in range(count)]


def _typical_seconds(calls: Sequence[tuple[int, Callable[[], object]]], device: torch.device) -> tuple[float, int]:
    """Mean time of a call, and the records they held; of several passes where they are short, the median."""
    passes = [_mean_seconds(calls, device)]
    while len(passes) < _PASSES and passes[0][0] * len(calls) < _SHORT:
        passes.append(_mean_seconds(calls, device))
    return statistics.median(seconds for seconds, _ in passes), passes[0][1]


def _mean_seconds(calls: Sequence[tuple[int, Callable[[], object]]], device: torch.device) -> tuple[float, int]:
    """Mean time of a call, and the records they held; fewer calls where they take long."""
    spent: list[float] = []
    records = 0
    for count, call in calls:
        spent.append(_seconds(call, device))
        records += count
        if sum(spent) > _PATIENCE:
            break
    return sum(spent) / len(spent), records


def _seconds(call: Callable[[], object], device: torch.device) -> float:
    _wait(device)
    started = time.perf_counter()
    call()
    _wait(device)
    return time.perf_counter() - started


def _wait(device: torch.device) -> None:
    """Until an accelerator has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
