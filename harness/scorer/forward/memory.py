"""How many tokens a device takes at once, and how it says that it cannot."""

from __future__ import annotations

from typing import Any

import torch

CPU_TOKENS = (1024, 8192)
"""Smallest and largest default on CPU. A 135M-parameter model is 7% slower at 256, and no faster at 2048 or 4096."""
CPU_PADDING = (32, 1024)
"""Smallest and largest default bound on the padding of a batch on CPU."""
MPS_TOKENS = 8192
CUDA_TOKENS = (2048, 65536)
"""Smallest and largest default on CUDA; above the largest the device is busy anyway."""

_PHRASES = ("out of memory", "not enough memory", "can't allocate memory")


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether the error says that memory ran out: CUDA's own class, or the words of the CPU and MPS allocators."""
    return isinstance(error, torch.OutOfMemoryError) or any(words in str(error).lower() for words in _PHRASES)


def release_memory(device: str) -> None:
    """Give blocks that PyTorch caches back to the device, so that a smaller batch finds room."""
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
    elif device.startswith("mps"):
        torch.mps.empty_cache()


def default_budget(device: str, model: Any) -> int:
    """Padded tokens per batch: on CPU many times what a batch costs, on CUDA what half of the free memory takes."""
    if device.startswith("mps"):
        return MPS_TOKENS
    if not device.startswith("cuda"):
        return _within(CPU_TOKENS, 64 * batch_cost(model))
    free, _ = torch.cuda.mem_get_info(device)
    return _within(CUDA_TOKENS, free / 2 / _bytes_per_token(model))


def default_padding(device: str, model: Any) -> int | None:
    """Most padding of one batch: on CPU as much as another batch costs; no bound where tokens are nearly free."""
    return _within(CPU_PADDING, batch_cost(model)) if device == "cpu" else None


def worth_a_lane(model: Any) -> float:
    """Tokens that a thread of its own is worth: a few times what a batch costs."""
    return 4 * batch_cost(model)


def _within(bounds: tuple[int, int], number: float) -> int:
    least, most = bounds
    return min(most, max(least, int(number)))


def batch_cost(model: Any) -> float:
    """Tokens whose arithmetic takes a CPU as long as the fixed cost of a batch.

    A layer costs about 0.7 ms of Python and dispatch, and 24 hidden^2 operations per token at some 4e10 a second.
    """
    return 0.7e-3 * 4e10 / 24 / _hidden(model) ** 2


def _hidden(model: Any) -> int:
    return int(getattr(model.config, "hidden_size", 0) or 1024)


def _bytes_per_token(model: Any) -> float:
    """Rough upper bound: keys and values of all layers, and the activations alive in one (attention and MLP)."""
    layers = int(getattr(model.config, "num_hidden_layers", 0) or 24)
    return float(model.dtype.itemsize * _hidden(model) * (2 * layers + 24))
