"""What is planted among the records of a training: kinds of canaries, how many, how often."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from harness.base.frozen import Frozen
from harness.base.validation import read_yaml, validated
from harness.data.datasets import DataSource
from privacy.canaries.patterns import FORMATS, check_pattern
from privacy.canaries.pii import FORMS, Form

Kind = Literal["random-tokens", "rare-tokens", "secret", "mislabelled", "model-written", "pii"]
_MOST = 100_000
"""Canaries of one group: an audit asks the model about each of them."""


class CanaryGroup(Frozen):
    """Canaries of one kind."""

    kind: Kind = Field(
        description="random-tokens: words drawn from the vocabulary; rare-tokens: its least used words; secret: a "
        "number or key of some format; mislabelled: records with a wrong class; model-written: texts that the base "
        "writes at a high temperature; pii: made-up people"
    )
    count: int = Field(ge=1, le=_MOST, description="canaries, for each number of repetitions")
    repetitions: tuple[int, ...] = Field(default=(1,), description="copies of a canary that its coin plants")
    prefix: str = Field(default="", description="what a text begins with, before what is drawn; of a secret: see there")
    tokens: int = Field(default=12, ge=1, le=512, description="random-tokens, rare-tokens, model-written: words drawn")
    pattern: str = Field(
        default="card",
        description=f"secret: {', '.join(FORMATS)}, or a pattern in which # is a digit, @ a letter and * a hex digit",
    )
    forms: tuple[Form, ...] = Field(
        default=("email", "phone"),
        min_length=1,
        description=f"pii: what is said of a person, one of these each: {', '.join(FORMS)}",
    )
    temperature: float = Field(default=1.0, gt=0, le=100, description="model-written")
    data: DataSource | None = Field(
        default=None, description="mislabelled: records of the same kind, neither trained on nor held out"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.repetitions or min(self.repetitions) < 1 or len(set(self.repetitions)) != len(self.repetitions):
            raise ValueError("repetitions: different numbers of copies, each at least 1")
        if (self.kind == "mislabelled") != (self.data is not None):
            raise ValueError(
                "mislabelled canaries need data: records of the same kind, neither trained on nor held out"
                if self.kind == "mislabelled"
                else f"data belongs to mislabelled canaries, not to {self.kind}"
            )
        if self.kind == "secret":
            check_pattern(self.pattern)
        return self


class CanarySpec(Frozen):
    """All that is planted in one training, each canary by a fair coin of its own."""

    canaries: tuple[CanaryGroup, ...] = Field(min_length=1, description="groups of canaries")

    @property
    def count(self) -> int:
        """Coins."""
        return sum(group.count * len(group.repetitions) for group in self.canaries)

    def digest(self) -> str:
        """sha256 of the canonical settings."""
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()


def load_canaries(path: Path) -> CanarySpec:
    """The spec in a YAML file. Raises UsageError naming what cannot be read."""
    return validated(CanarySpec, read_yaml(path), str(path))
