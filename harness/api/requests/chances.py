"""How likely a target is to be drawn under a way of sampling, from one forward pass and without drawing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.api.scorer import Floats, Request


@dataclass(frozen=True, slots=True)
class SequenceChanceRequest(Request["SequenceChances"]):
    """The chance that a SampleRequest of the same settings draws `target` after `context`; needs a causal LM.

    `context` holds at least one token. An end-of-sequence token within the target counts as drawn like any other,
    while a sample ends there.
    """

    context: tuple[int, ...]
    target: tuple[int, ...]
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0


@dataclass(frozen=True, slots=True)
class SequenceChances:
    """Natural-log numbers of each target token after what precedes it, both [targets]."""

    chances: Floats
    """Log of the chance to be drawn; -inf where the filters leave the token out."""
    logprobs: Floats
    """log p without temperature and filters, as a TokenRequest gives it."""
    error: str | None = None

    @property
    def chance(self) -> float:
        """That one sample is the whole target."""
        return float(min(1.0, np.exp(self.chances.sum())))
