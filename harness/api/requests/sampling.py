"""Continuations drawn at random, each of which hangs on its seed alone."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from harness.api.scorer import Request


@dataclass(frozen=True, slots=True)
class SampleRequest(Request["Samples"]):
    """`samples` continuations of `prompt` by at most `max_new_tokens` tokens; needs a causal LM.

    Logits are changed in the order of transformers' processors: `repetition_penalty` (Keskar et al. 2019, prompt
    included), `temperature`, `top_k` (0: all), `top_p` (Holtzman et al. 2020). A sample ends at an end-of-sequence
    token, or where its text holds one of `stop`. Sample i of seed s is the same whatever else is asked, and whatever
    `samples` is, but where a draw comes within the rounding of its batch to the edge between two tokens.
    """

    prompt: tuple[int, ...]
    max_new_tokens: int
    seed: int
    samples: int = 1
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    stop: tuple[str, ...] = ()


class Ending(StrEnum):
    """Why a sample ends."""

    LENGTH = "length"
    END_OF_SEQUENCE = "end of sequence"
    STOP = "stop string"


@dataclass(frozen=True, slots=True)
class Sample:
    """The tokens drawn, without the end of sequence, and their text up to the stop string, itself left out."""

    tokens: tuple[int, ...]
    text: str
    ending: Ending


@dataclass(frozen=True, slots=True)
class Samples:
    """The samples in the order of their numbers; none where `error` says why."""

    samples: tuple[Sample, ...]
    error: str | None = None
