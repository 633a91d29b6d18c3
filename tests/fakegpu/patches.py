"""`fake_cuda()`: while it lasts torch believes in a GPU."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import nn

from tests.fakegpu.counts import Counts
from tests.fakegpu.tensor import BACKING, REAL_GENERATOR, Dispatch, State

_NOTHING = ("_lazy_init", "empty_cache", "synchronize", "reset_peak_memory_stats", "set_device", "init")
_ANSWERS: dict[str, Any] = {
    "is_available": True,
    "is_initialized": False,
    "device_count": 1,
    "current_device": 0,
    "mem_get_info": (8 << 30, 8 << 30),
    "get_device_name": "fake",
    "max_memory_allocated": 1,
    "is_bf16_supported": True,
    "get_device_capability": (8, 0),
}
_MAKERS = ((torch.Tensor, "to"), (torch, "tensor"), (torch, "as_tensor"), (torch.Tensor, "new_tensor"))


class _Generator:
    """Takes the place of torch.Generator, whose C++ part looks for a CUDA that is not there."""

    def __new__(cls, device: Any = "cpu") -> Any:
        State.has_generator |= torch.device(device).type == "cuda"
        return REAL_GENERATOR()


def _backed(make: Callable[..., Any]) -> Callable[..., Any]:
    """C++ looks for a guard of the device in these functions; the device below has none that could be missing."""

    def swapped(value: Any) -> Any:
        is_cuda = isinstance(value, torch.device) and value.type == "cuda"
        return BACKING if is_cuda or (isinstance(value, str) and value.partition(":")[0] == "cuda") else value

    return lambda *args, **kwargs: make(*map(swapped, args), **{name: swapped(value) for name, value in kwargs.items()})


def _no_inference_mode(mode: bool = True) -> Any:
    """Wrapped tensors cannot be inference tensors."""
    return torch.no_grad() if mode else torch.enable_grad()


def _module_to(to: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    """A module that is there already is left alone: swapping its weights would lose the hooks on their gradients."""

    def moved(self: nn.Module, *args: Any, **kwargs: Any) -> nn.Module:
        parse: Any = torch._C._nn._parse_to
        device, dtype, *_ = parse(*args, **kwargs)
        tensors = [*self.parameters(), *self.buffers()]
        if device is not None and dtype is None and all(value.device.type == device.type for value in tensors):
            return self
        return to(self, *args, **kwargs)

    return moved


@contextmanager
def _modes() -> Iterator[None]:
    before = torch._C._only_lift_cpu_tensors()
    torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor(data, device=) then goes through dispatch
    try:
        with Dispatch():  # type: ignore[no-untyped-call]
            yield
    finally:
        torch._C._set_only_lift_cpu_tensors(before)


@contextmanager
def fake_cuda() -> Iterator[Counts]:
    """cuda:0 is there, has 8 GiB and waits for nobody; yields what is counted, from zero."""
    State.counts, State.has_generator = Counts(), False
    run = threading.Thread.run

    def run_with_modes(self: threading.Thread) -> None:
        with _modes():  # modes belong to a thread
            run(self)

    future = torch.__future__
    swap = future.get_swap_module_params_on_conversion()
    with ExitStack() as stack:
        put = stack.enter_context
        put(patch.object(threading.Thread, "run", run_with_modes))
        put(patch.object(torch, "Generator", _Generator))
        put(patch.object(torch, "inference_mode", _no_inference_mode))
        for owner, name in _MAKERS:
            put(patch.object(owner, name, _backed(getattr(owner, name))))
        put(patch.object(nn.Module, "to", _module_to(nn.Module.to)))
        for name in _NOTHING:
            put(patch.object(torch.cuda, name, lambda *_, **__: None))
        for name, answer in _ANSWERS.items():
            put(patch.object(torch.cuda, name, lambda *_, _answer=answer, **__: _answer))
        put(patch.object(torch.cuda, "get_rng_state", lambda *_: torch.get_rng_state()))  # it draws from the CPU's
        put(patch.object(torch.cuda, "set_rng_state", lambda state, *_: torch.set_rng_state(state)))
        future.set_swap_module_params_on_conversion(True)  # model.to("cuda") keeps tied weights tied
        stack.callback(future.set_swap_module_params_on_conversion, swap)
        put(_modes())
        yield State.counts
