"""Which device and number format to load on, and whether the model fits there."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.checkpoint.tensors import Tensor
from harness.errors import CheckpointError, UsageError

ITEMSIZE = {"fp32": 4, "bf16": 2, "fp16": 2}
_DTYPE = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
_OF_HEADER = {"F32": "fp32", "F64": "fp32", "BF16": "bf16", "F16": "fp16"}
_OVERHEAD = 1.05
"""Room for the largest tensor being converted and for the allocator."""


def pick_device(asked: str) -> str:
    """'cuda', 'mps' or 'cpu': the fastest there is for 'auto'. Raises UsageError for one that is absent."""
    import torch

    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if asked == "auto":
        return next(name for name, present in there.items() if present)
    if not there.get(asked, False):
        raise UsageError(f"device {asked!r} is not there, torch sees {', '.join(k for k, v in there.items() if v)}")
    return asked


def pick_dtype(asked: str, device: str, tensors: Sequence[Tensor]) -> str:
    """'fp32', 'bf16' or 'fp16': for 'auto' the weights' own on a GPU and fp32 on CPU, where halves are slow."""
    if asked != "auto":
        if asked not in ITEMSIZE:
            raise UsageError(f"dtype {asked!r} is not one of auto, {', '.join(ITEMSIZE)}")
        return asked
    sizes: Counter[str] = Counter()
    for tensor in tensors:
        if tensor.dtype in _OF_HEADER:
            sizes[_OF_HEADER[tensor.dtype]] += tensor.size
    return "fp32" if device == "cpu" or not sizes else sizes.most_common(1)[0][0]


def torch_dtype(name: str) -> Any:
    """torch.dtype of 'fp32', 'bf16' or 'fp16'."""
    import torch

    return getattr(torch, _DTYPE[name])


def check_memory(need: int, device: str, where: str) -> None:
    """Raises CheckpointError when `need` bytes are more than `device` (or, on the way there, the machine) has free."""
    for place in dict.fromkeys(("cpu", device)):
        free = available_bytes(place)
        if free is not None and need * _OVERHEAD > free:
            raise CheckpointError(
                f"{where}: needs {need * _OVERHEAD / 2**30:.1f} GiB on {place}, which has {free / 2**30:.1f} GiB free; "
                "use a smaller dtype (--dtype bf16) or a larger machine"
            )


def available_bytes(device: str) -> int | None:
    """Free memory: what the driver says, else what the kernel and a container limit leave; None where unknown."""
    if device == "cuda":
        import torch

        return int(torch.cuda.mem_get_info()[0])
    known = [value for value in (_machine_bytes(), _container_bytes()) if value is not None]
    return min(known, default=None)


def _machine_bytes() -> int | None:
    """MemAvailable counts caches that can be dropped, unlike free pages; without it all memory counts."""
    meminfo = Path("/proc/meminfo")
    if meminfo.is_file():
        for line in meminfo.read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return None


def _container_bytes(group: Path = Path("/sys/fs/cgroup")) -> int | None:
    """What a control group (version 2) leaves, file caches counted as free; None without a limit."""
    try:
        limit = (group / "memory.max").read_text(encoding="ascii").strip()
        used = int((group / "memory.current").read_text(encoding="ascii"))
        stat = dict(line.split() for line in (group / "memory.stat").read_text(encoding="ascii").splitlines())
    except (OSError, ValueError):
        return None
    return None if limit == "max" else int(limit) - used + int(stat.get("inactive_file", 0))
