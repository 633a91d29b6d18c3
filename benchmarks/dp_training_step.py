"""`python -m benchmarks.dp_training_step SHAPE TRAINING POSITIONS SAMPLES WAY`: time and memory of one way to train."""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_BOUND = 1.0
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Names of glibc's malloc.h."""
CACHED = 2048
"""Records of a step on cached features: the batch of the committed DP results on SST-2."""
_REPEATS = int(os.environ.get("ASSAY_BENCH_REPEATS", "3"))

Step = Callable[[], None]
"""Forward and backward of one micro-batch, its sums cleared before."""


def main(shape: str, training: str, positions: str, samples: str, way: str) -> dict[str, Any]:
    """Measure; the result is what is printed."""
    import opacus.grad_sample  # noqa: F401  # so that every way starts from the same process
    import peft  # noqa: F401
    import torch

    cuda = torch.cuda.is_available()
    if cuda:
        torch.set_float32_matmul_precision("high")
    else:
        torch.set_num_threads(1)
    before = _resident()
    _give_back(at_once=True)
    torch.manual_seed(0)
    model = _model(shape, training, int(positions)).to("cuda" if cuda else "cpu").train()
    batch = _batch(shape, training, int(positions), int(samples), next(model.parameters()).device)
    step = _WAYS[way](model, batch, "classification" if shape == "bert-base" else "causal_lm")
    first = _peak_of(step, cuda) - before
    steady = _peak_of(step, cuda) - before if way == "ours" else first  # its first step checks gradients
    _give_back(at_once=False)
    step()
    times = 200 if training == "cached head" else 1  # a step takes about a millisecond
    seconds = [_seconds(step, cuda, times) for _ in range(_REPEATS)]
    return {
        "cuda": cuda,
        "samples": int(samples),
        "median": statistics.median(seconds),
        "seconds": [float(f"{value:.4g}") for value in seconds],
        "peak_mb": steady / 2**20,
        "first_peak_mb": first / 2**20,
        "sum_norm": _sum_norm(model),
    }


def _model(shape: str, training: str, positions: int) -> Any:
    import transformers
    from peft import LoraConfig, get_peft_model

    layers = {} if (given := os.environ.get("ASSAY_BENCH_LAYERS")) is None else {"num_hidden_layers": int(given)}
    if shape == "bert-base":
        off = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
        model: Any = transformers.BertForSequenceClassification(transformers.BertConfig(**off, **layers))
    else:
        off = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
        model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**off, **layers))
    if training == "head":
        model.requires_grad_(False)
        model.classifier.requires_grad_(True)
    if training == "cached head":
        model = _cached_head(model.classifier)
    if training == "lora":
        targets = ["query", "value"] if shape == "bert-base" else ["c_attn"]
        model = get_peft_model(model, LoraConfig(r=8, target_modules=targets, init_lora_weights=False))
    return model


def _cached_head(head: Any) -> Any:
    """The last layer over features of as many records as the largest batch has."""
    import torch

    from privacy.training.models.cached_features import CachedHead

    return CachedHead(head, torch.randn(CACHED, head.in_features))


def _batch(shape: str, training: str, positions: int, samples: int, device: Any) -> dict[str, Any]:
    """Position and token-type ids are given for every sample, in memory of their own: Opacus needs them so."""
    import torch

    if training == "cached head":  # rows of the features, each once
        ids = torch.arange(samples)[:, None]
        return {"input_ids": ids.to(device), "labels": torch.randint(0, 2, (samples,), device=device)}
    ids = torch.randint(1000, 20000, (samples, positions))
    places = torch.arange(positions).repeat(samples, 1)
    labels = torch.randint(0, 2, (samples,)) if shape == "bert-base" else ids
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "position_ids": places, "labels": labels}
    if shape == "bert-base":
        batch["token_type_ids"] = torch.zeros_like(ids)
    return {name: value.to(device) for name, value in batch.items()}


def _ordinary(model: Any, batch: Any, task: Any) -> Step:
    from privacy.clipping import per_sample_loss

    def step() -> None:
        for value in model.parameters():
            value.grad = None
        per_sample_loss(model, batch, task).mean().backward()  # type: ignore[no-untyped-call]

    return step


def _ours(model: Any, batch: Any, task: Any) -> Step:
    from privacy.clipping import BookKeepingEngine, per_sample_loss

    engine = BookKeepingEngine(model, max_grad_norm=_BOUND)

    def step() -> None:
        for value in model.parameters():
            value.summed_grad = None
        with engine.recording(len(batch["labels"])):
            losses = per_sample_loss(model, batch, task)
        engine.backward(losses)

    return step


def _hooks(model: Any, batch: Any, task: Any) -> Step:
    from opacus.grad_sample import GradSampleModule
    from opacus.optimizers import DPOptimizer

    from privacy.clipping import per_sample_loss

    wrapped = GradSampleModule(model, loss_reduction="mean")
    optimizer = _opacus_optimizer(DPOptimizer, model)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        per_sample_loss(wrapped, batch, task).mean().backward()  # type: ignore[no-untyped-call]
        optimizer.clip_and_accumulate()

    return step


def _ghost(model: Any, batch: Any, task: Any) -> Step:
    from opacus.grad_sample import GradSampleModuleFastGradientClipping
    from opacus.optimizers import DPOptimizerFastGradientClipping
    from opacus.utils.fast_gradient_clipping_utils import DPTensorFastGradientClipping

    from privacy.clipping import per_sample_loss

    wrapped = GradSampleModuleFastGradientClipping(
        model, max_grad_norm=_BOUND, use_ghost_clipping=True, loss_reduction="mean"
    )
    optimizer = _opacus_optimizer(DPOptimizerFastGradientClipping, model)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        losses = per_sample_loss(wrapped, batch, task)
        DPTensorFastGradientClipping(wrapped, optimizer, losses, "mean").backward()
        for value in optimizer.params:  # its accumulate() copies them, so that sums and gradients are both held
            value.summed_grad, value.grad = value.grad, None

    return step


def _opacus_optimizer(kind: Any, model: Any) -> Any:
    import torch

    trained = [value for value in model.parameters() if value.requires_grad]
    sgd = torch.optim.SGD(trained, lr=0.1)
    return kind(sgd, noise_multiplier=0.0, max_grad_norm=_BOUND, expected_batch_size=1)


_WAYS = {"ordinary": _ordinary, "ours": _ours, "hooks": _hooks, "ghost": _ghost}


def _sum_norm(model: Any) -> float:
    sums = [getattr(value, "summed_grad", None) for value in model.parameters()]
    return float(sum(float(value.square().sum()) for value in sums if value is not None) ** 0.5)


def _seconds(step: Step, cuda: bool, times: int) -> float:
    """Of one step: wall-clock on a GPU, time of the one thread on a CPU."""
    import torch

    clock = time.perf_counter if cuda else time.process_time
    if cuda:
        torch.cuda.synchronize()
    start = clock()
    for _ in range(times):
        step()
    if cuda:
        torch.cuda.synchronize()
    return (clock() - start) / times


def _peak_of(step: Step, cuda: bool) -> int:
    """Most memory held during one step, bytes."""
    import torch

    if cuda:
        torch.cuda.reset_peak_memory_stats()
        step()
        return int(torch.cuda.max_memory_allocated()) + _resident()
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the high-water mark starts from here
    step()
    return _status("VmHWM")


def _give_back(*, at_once: bool) -> None:
    """Have glibc return freed memory at once, which costs time, or keep what is below the size it comes to by itself.

    Memory is then that of live tensors, as on a GPU, and not what a fragmented heap holds on to.
    """
    from ctypes import CDLL

    options = getattr(CDLL(None), "mallopt", None)
    if options is not None:
        largest = 2**16 if at_once else 2**25
        options(_MMAP_THRESHOLD, largest)
        options(_TRIM_THRESHOLD, 2 * largest)


def _resident() -> int:
    return _status("VmRSS")


def _status(key: str) -> int:
    """A line of /proc/self/status in kB, as bytes."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:"))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(*sys.argv[1:])) + "\n")
