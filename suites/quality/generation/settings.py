"""How a text is written: every setting of the decoder, which each row repeats."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from pydantic import Field, model_validator

from harness.api.probe import ProbeParams
from harness.api.requests.beams import BeamRequest
from harness.api.requests.sampling import SampleRequest
from harness.api.scorer import GenerateRequest


class Decoding(StrEnum):
    """How the next token is chosen."""

    GREEDY = "greedy"
    SAMPLE = "sample"
    BEAM = "beam"


class GenerationParams(ProbeParams):
    """Settings."""

    decoding: Decoding = Field(default=Decoding.GREEDY, description="greedy, sample or beam")
    max_new_tokens: int = Field(default=64, ge=1, description="most tokens of a text")
    stop: tuple[str, ...] = Field(default=(), description="strings before which a text ends")
    samples: int = Field(default=1, ge=1, le=256, description="texts for each prompt; several only by sample")
    temperature: float = Field(default=1.0, gt=0, description="divides logits; by sample")
    top_k: int = Field(default=0, ge=0, description="likeliest tokens kept, 0: all; by sample")
    top_p: float = Field(default=1.0, gt=0, le=1, description="probability of the likeliest tokens kept; by sample")
    repetition_penalty: float = Field(default=1.0, gt=0, description="of tokens that came before; by sample")
    seed: int = Field(default=0, ge=0, description="of the draws; by sample")
    beams: int = Field(default=4, ge=1, description="hypotheses at once; by beam")
    length_penalty: float = Field(default=1.0, description="power of the length that scores are divided by; by beam")
    chat: bool = Field(default=False, description="ask through the checkpoint's own chat template")
    system: str = Field(default="", description="system message of a chat; empty: none")
    overlap: bool = Field(default=True, description="ROUGE, BLEU, chrF and self-BLEU; they need the extra `quality`")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        fields = type(self).model_fields
        for name, decoding in _ONLY.items():
            if self.decoding is not decoding and getattr(self, name) != fields[name].default:
                raise ValueError(f"{name} is of decoding: {decoding}, not of {self.decoding}; take it out")
        if self.system and not self.chat:
            raise ValueError("system is of a chat; say chat: true, or take it out")
        return self

    def request(self, prompt: tuple[int, ...]) -> GenerateRequest | SampleRequest | BeamRequest:
        """What is asked of the model for one prompt."""
        if self.decoding is Decoding.GREEDY:
            return GenerateRequest(prompt, self.max_new_tokens)
        if self.decoding is Decoding.BEAM:
            return BeamRequest(prompt, self.max_new_tokens, self.beams, self.length_penalty)
        return SampleRequest(
            prompt,
            self.max_new_tokens,
            self.seed,
            self.samples,
            self.temperature,
            self.top_k,
            self.top_p,
            self.repetition_penalty,
            self.stop,
        )


_ONLY = {
    **dict.fromkeys(("samples", "temperature", "top_k", "top_p", "repetition_penalty", "seed"), Decoding.SAMPLE),
    **dict.fromkeys(("beams", "length_penalty"), Decoding.BEAM),
}
"""Settings that other decodings would pass over without a word."""
