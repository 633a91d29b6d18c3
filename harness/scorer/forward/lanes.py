"""Batches side by side on a CPU, each computed by one thread.

Threads that share one batch wait for each other after every operation; threads with a batch each do not. Two idle
cores score short texts 1.03 to 1.18 times faster so (`benchmarks/lanes.py`), busy ones more.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Barrier
from typing import Any, TypeVar

import torch

T = TypeVar("T")

_FOLLOW_THE_INPUT = ("dynamic", "longrope")
"""Kinds of rotary frequencies that transformers changes in the model when an input is longer than those before."""


class Lanes:
    """Runs work in `count` threads; with one lane in the caller's, at once."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._pool = _one_core_each(count) if count > 1 else None

    def start(self, work: Callable[[], T]) -> Future[T]:
        """The work's result to come; gradients are kept or not as in the caller's thread."""
        if self._pool is None:
            return _done(work)
        inference, gradients = torch.is_inference_mode_enabled(), torch.is_grad_enabled()

        def as_the_caller() -> T:
            with torch.inference_mode(inference), torch.set_grad_enabled(gradients):
                return work()

        return self._pool.submit(as_the_caller)


ONE_LANE = Lanes(1)


def lanes_for(model: Any, device: str) -> int:
    """How many batches of the model may run at once: as many as the caller has threads, on a CPU."""
    return torch.get_num_threads() if device == "cpu" and keeps_no_state(model) else 1


def keeps_no_state(model: Any) -> bool:
    """Whether a forward pass leaves the model as it was.

    Not so where rotary frequencies follow the longest input, nor where transformers collects what layers give, which it
    does by replacing their `forward`.
    """
    config = model.config
    rope = f"{getattr(config, 'rope_scaling', '')}{getattr(config, 'rope_parameters', '')}"
    collects = getattr(config, "output_hidden_states", False) or getattr(config, "output_attentions", False)
    return not collects and not any(kind in rope for kind in _FOLLOW_THE_INPUT)


def _one_core_each(count: int) -> ThreadPoolExecutor:
    """Threads whose operations stay in them. PyTorch sets this per thread, but new threads copy who set it last."""
    usual = torch.get_num_threads()
    everyone = Barrier(count)

    def settle() -> None:
        torch.get_num_threads()  # else the first operation would copy what was set last
        torch.set_num_threads(1)

    pool = ThreadPoolExecutor(count, thread_name_prefix="scorer-lane", initializer=settle)
    for started in [pool.submit(everyone.wait) for _ in range(count)]:
        started.result()
    torch.set_num_threads(usual)
    return pool


def _done(work: Callable[[], T]) -> Future[T]:
    future: Future[T] = Future()
    try:
        future.set_result(work())
    except Exception as error:
        future.set_exception(error)
    return future
