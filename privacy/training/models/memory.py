"""What a run took: memory, and where it ran."""

from __future__ import annotations

import resource
import sys

import psutil
import torch


def peak_memory() -> int:
    """Most memory this process has held, bytes: on the accelerator where there is one, else resident memory."""
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return int(torch.cuda.max_memory_allocated())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts in KiB


def free_memory(device: torch.device) -> int:
    """Bytes that are free on the device now."""
    return int(torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available)


def device_name(device: torch.device) -> str:
    """`cpu`, `mps`, or the name of the GPU."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
