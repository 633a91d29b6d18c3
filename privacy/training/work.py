"""What the steps of a run are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from privacy.training.data.batches import Collator
from privacy.training.data.tokens import Encoded
from privacy.training.models.objective import Objective
from privacy.training.settings.spec import TrainSpec


@dataclass(frozen=True, slots=True)
class Work:
    """Model, records and loss of one run."""

    spec: TrainSpec
    model: Any
    objective: Objective
    collator: Collator
    encoded: Encoded
    device: torch.device
    whole: Any
    """The model that is saved; `model` itself, or the one whose last layer `model` is."""
    length: int | None = None
    """Tokens that every record is padded to; None: those of the longest of its micro-batch."""
