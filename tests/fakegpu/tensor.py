"""A tensor that says it is on cuda:0 and computes on the CPU: true numbers, a GPU's rules about devices.

The device below is `lazy`, which a CPU build of torch knows and nothing uses; a name of one's own (PrivateUse1) aborts
the process in backward passes with hooks. Around each operation the rules of CUDA are checked, and what it would wait
for is counted. It cannot show: kernels' own numbers (TF32, half precision, atomics), memory, streams, a second device,
pinned memory, CUDA graphs, compiled code, autocast.
"""

from __future__ import annotations

from typing import Any, NoReturn

import torch
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_flatten, tree_map

from tests.fakegpu.counts import Counts

BACKING = torch.device("lazy:0")
SEEN = torch.device("cuda:0")
CPU = torch.device("cpu")
REAL_GENERATOR = torch.Generator

_ATEN = torch.ops.aten
_CROSSING = {_ATEN.copy_.default, _ATEN._to_copy.default, _ATEN._local_scalar_dense.default, _ATEN.lift_fresh.default}
"""Operations that may have tensors on two devices."""
_INDEXING = {
    _ATEN.index.Tensor,
    _ATEN._unsafe_index.Tensor,
    _ATEN.index_put.default,
    _ATEN.index_put_.default,
    _ATEN._index_put_impl_.default,
}
"""Operations that take CPU indices into a CUDA tensor; a mask as an index makes them wait for its count."""
_READING = {
    _ATEN._local_scalar_dense.default,
    _ATEN.nonzero.default,
    _ATEN.masked_select.default,
    _ATEN.equal.default,
    _ATEN._unique2.default,
    _ATEN.unique_dim.default,
    _ATEN.unique_consecutive.default,
    _ATEN.bincount.default,
    _ATEN.repeat_interleave.Tensor,
}
"""Operations whose result the host must know before it can go on."""


class State:
    """What the fake device counts and remembers; there is one, as there is one device."""

    counts = Counts()
    has_generator = False
    """C++ forgets for which device a generator was made: one made for cuda lifts the rule about generators."""


class GpuTensor(torch.Tensor):
    """Wraps a CPU tensor `elem`."""

    elem: torch.Tensor

    @staticmethod
    def __new__(cls, elem: torch.Tensor) -> GpuTensor:
        """As large and laid out as `elem`."""
        made: GpuTensor = torch.Tensor._make_wrapper_subclass(
            cls,
            elem.size(),
            strides=elem.stride(),
            storage_offset=elem.storage_offset(),
            dtype=elem.dtype,
            layout=elem.layout,
            device=BACKING,
            requires_grad=False,
        )
        made.elem = elem
        return made

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        """What the product sees."""
        return SEEN

    @property
    def is_cuda(self) -> bool:  # type: ignore[override]
        """Yes."""
        return True

    @property
    def is_cpu(self) -> bool:  # type: ignore[override]
        """No."""
        return False

    def __repr__(self, **_: Any) -> str:  # type: ignore[override]
        """The numbers, for a failing test."""
        return f"GpuTensor({self.elem!r})"

    def cpu(self, *_: Any, **__: Any) -> torch.Tensor:
        """A counted copy."""
        return self.to("cpu")

    def tolist(self) -> Any:
        """By a counted copy."""
        return self.detach().cpu().tolist()

    def data_ptr(self) -> int:
        """Where the numbers lie."""
        return self.elem.data_ptr()

    def untyped_storage(self) -> Any:
        """What tells tied weights."""
        return self.elem.untyped_storage()

    def numpy(self, *_: Any, **__: Any) -> NoReturn:
        """As CUDA refuses it."""
        raise TypeError(
            "can't convert cuda:0 device type tensor to numpy. "
            "Use Tensor.cpu() to copy the tensor to host memory first."
        )

    __array__ = numpy

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]  # torch types it as if it were no class method
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Every operation on such a tensor."""
        return _run(func, args, kwargs or {})


class Dispatch(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch has no types for it
    """Every operation at all, so that what makes a tensor on cuda is seen."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """As for a tensor."""
        return _run(func, args, kwargs or {})


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    flat = tree_flatten((args, kwargs))[0]
    tensors = [value for value in flat if isinstance(value, torch.Tensor)]
    _check_devices(func, tensors)
    wanted, has_gpu = kwargs.get("device"), any(isinstance(value, GpuTensor) for value in tensors)
    to_gpu = wanted.type in ("lazy", "cuda") if wanted is not None else has_gpu
    if to_gpu and not State.has_generator and any(isinstance(value, REAL_GENERATOR) for value in flat):
        raise RuntimeError("Expected a 'cuda' device type for generator but found 'cpu'")
    _count(func, tensors, has_gpu=has_gpu, to_gpu=to_gpu)
    inner_args, inner = tree_map(lambda value: value.elem if isinstance(value, GpuTensor) else value, (args, kwargs))
    if wanted is not None:
        inner["device"] = CPU
    if "pin_memory" in inner:
        inner["pin_memory"] = False
    with _disable_current_modes():
        out = func(*inner_args, **inner)
    if not func._schema.returns:  # in place, on lists
        return None
    if func._schema.is_mutable and func._schema.name.endswith("_"):
        return args[0]
    if func._schema.is_mutable and kwargs.get("out") is not None:
        return kwargs["out"]
    return tree_map(_on_gpu, out) if to_gpu else out


def _on_gpu(value: Any) -> Any:
    return GpuTensor(value) if type(value) is torch.Tensor else value


def _check_devices(func: Any, tensors: list[torch.Tensor]) -> None:
    """One device for all, but for CPU tensors without dimensions, copies, and CPU indices into a CUDA tensor."""
    if func in _CROSSING or not any(isinstance(value, GpuTensor) for value in tensors):
        return
    strangers = [value for value in tensors if not isinstance(value, GpuTensor) and value.dim()]
    if strangers and not (func in _INDEXING and isinstance(tensors[0], GpuTensor)):
        raise RuntimeError(
            f"Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu! ({func})"
        )


def _count(func: Any, tensors: list[torch.Tensor], *, has_gpu: bool, to_gpu: bool) -> None:
    counts = State.counts
    counts.ops += has_gpu or to_gpu
    if not has_gpu:
        if to_gpu and func is _ATEN._to_copy.default:
            counts.note("to_device")
        return
    if func in _READING or (func in _INDEXING and any(value.dtype == torch.bool for value in tensors[1:])):
        counts.note("reads")
    elif func is _ATEN._to_copy.default and not to_gpu:
        counts.note("to_host")
    elif func is _ATEN.copy_.default and len({isinstance(value, GpuTensor) for value in tensors}) > 1:
        counts.note("to_device" if isinstance(tensors[0], GpuTensor) else "to_host")
