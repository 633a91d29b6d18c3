"""A canary: a made-up record that an audit looks for in a trained model."""

from __future__ import annotations

from pydantic import Field

from harness.base.frozen import Frozen
from privacy.canaries.spec import Kind


class Canary(Frozen):
    """One record, planted or not; nothing in it tells which."""

    id: str = Field(description="its place in the list")
    kind: Kind
    text: str = Field(description="what is trained on; of instructions the prompt")
    pair: str | None = Field(default=None, description="second text, or the completion")
    label: str | None = Field(default=None, description="class it is planted with, classification only")
    true_label: str | None = Field(default=None, description="its own class, of a mislabelled one")
    repetitions: int = Field(default=1, ge=1, description="records that its coin plants")
    secret: str | None = Field(default=None, description="the end of the text that was drawn at random")
    pattern: str | None = Field(default=None, description="what the secret was drawn from")


class Canaries(Frozen):
    """All canaries of one training."""

    version: int = 1
    spec: str = Field(description="digest of what was asked for")
    canaries: tuple[Canary, ...]


class Coins(Frozen):
    """Which of the canaries were planted. Sealed: an audit opens it after it has guessed."""

    version: int = 1
    canaries: str = Field(description="digest of the list they belong to")
    salt: str = Field(description="random: without it the digest of the coins would tell them")
    planted: tuple[bool, ...] = Field(description="of each canary, in the order of the list")
