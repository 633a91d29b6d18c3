"""A GPU for machines without one: true numbers, CUDA's rules about devices, and a count of what the host waits for."""

from tests.fakegpu.counts import Counts
from tests.fakegpu.patches import fake_cuda

__all__ = ["Counts", "fake_cuda"]
