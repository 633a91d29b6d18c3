"""FreshModel: a small BERT or GPT made from scratch."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from harness.base.frozen import Frozen
from harness.data.datasets import DataSource


class FreshModel(Frozen):
    """Random weights, pre-layer-norm, and a tokenizer trained on a corpus: WordPiece for bert, BPE for gpt."""

    kind: Literal["bert", "gpt"] = Field(description="bert reads in both directions, gpt from left to right")
    layers: int = Field(default=4, ge=1, description="transformer layers")
    hidden: int = Field(default=256, ge=8, description="width")
    heads: int = Field(default=4, ge=1, description="attention heads; divides hidden")
    vocabulary: int = Field(default=8000, ge=300, description="tokens of the vocabulary, at most")
    max_tokens: int = Field(default=128, ge=8, description="longest text the model can read")
    corpus: DataSource | None = Field(
        default=None, description="text the tokenizer is trained on; default: the training records"
    )

    @model_validator(mode="after")
    def _divisible(self) -> Self:
        if self.hidden % self.heads:
            raise ValueError(f"hidden ({self.hidden}) must be a multiple of heads ({self.heads})")
        return self
