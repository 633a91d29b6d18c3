"""Random generators that nobody can replay: a known seed tells who was sampled and takes the noise away."""

from __future__ import annotations

import secrets
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

_TWISTER_START = 24
"""Where a CPU generator's state holds the Mersenne Twister: after seed (8 bytes), left, seeded (4 each), next (8)."""
_TWISTER_WORDS = 624
"""32-bit words, each kept in 8 bytes."""


class Uniforms(Protocol):
    """What sampling draws from."""

    def random(self, size: int) -> NDArray[np.float64]:
        """Independent uniform numbers in [0, 1) [size]."""
        ...


def fresh_generator() -> np.random.Generator:
    """A generator for sampling, from entropy of the operating system; no global seed touches it."""
    return np.random.default_rng(secrets.randbits(256))


def fresh_torch_generator(device: torch.device | str = "cpu") -> torch.Generator:
    """A generator for noise on `device`, from entropy of the operating system; no global seed touches it.

    On the CPU the whole state is drawn: manual_seed there keeps 32 bits only, few enough to try them all.
    """
    generator = torch.Generator(device)
    generator.manual_seed(secrets.randbits(63))
    if generator.device.type == "cpu":
        state = generator.get_state()
        words = state.numpy()[_TWISTER_START : _TWISTER_START + 8 * _TWISTER_WORDS].view(np.uint64)
        words[:] = np.frombuffer(secrets.token_bytes(4 * _TWISTER_WORDS), dtype=np.uint32)
        generator.set_state(state)
    return generator
