"""Which mode is likely best: a rule of thumb, from how much a data set can tell at an epsilon.

Over a whole training the signal is about units x epsilon over the root of the weights trained, as noise multipliers
are about rate x root of steps / epsilon. Where that is small, little must be learnt: a linear layer on frozen features
needs about ten times fewer records than a network (Tramer & Boneh 2021, arXiv 2011.11660). Where it is large, adapters
and all weights come out alike and beat a frozen encoder: RoBERTa on the 67,349 phrases of SST-2 loses two to three
points at epsilon 3 and 8 (Li et al. 2022, arXiv 2110.05679; Yu et al. 2022, arXiv 2110.06500), which is 200,000 and
540,000 units x epsilon. In `benchmarks/dp_sst2.py`, 6,920 sentences, the
head loses nothing to privacy down to 6,920, and at 55,000 is level with adapters and far above a whole layer.
"""

from __future__ import annotations

import math
from collections.abc import Collection

from privacy.training.settings.spec import Mode, Task

ENOUGH = 100_000
"""Units x epsilon from which on more than a head pays: between our own 55,000 and the published 200,000."""


def likely_best(task: Task, units: int, epsilon: float, possible: Collection[Mode]) -> tuple[Mode, ...]:
    """Modes to try first, the likeliest before the others; none without a finite epsilon or a choice."""
    if not math.isfinite(epsilon) or epsilon <= 0 or len(possible) < 2:
        return ()
    if units * epsilon >= ENOUGH:
        wanted: tuple[Mode, ...] = ("lora", "full")
    elif task == "classification":
        wanted = ("head",)
    else:  # a language model's head is its embeddings: adapters are the fewest weights that teach it anything
        wanted = ("lora",)
    return tuple(mode for mode in wanted if mode in possible) or tuple(mode for mode in ("bitfit",) if mode in possible)
