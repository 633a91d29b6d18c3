"""What a checkpoint must offer for a probe to apply."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


class Need(StrEnum):
    """What a checkpoint can offer and a probe can need."""

    MASKED_LM = "masked LM"
    CAUSAL_LM = "causal LM"
    SEQUENCE_CLASSIFIER = "sequence classifier"
    MULTI_LABEL = "multi-label classifier"
    """Labels that do not exclude each other, each with a probability of its own (a sigmoid)."""
    REGRESSION = "regression head"
    """Numbers instead of classes."""
    TOKEN_CLASSIFIER = "token classifier"
    QUESTION_ANSWERING = "question-answering head"
    """A span of a given context, by its first and last token."""
    NEXT_SENTENCE = "next-sentence head"
    """Whether one text follows another."""
    EMBEDDINGS = "embeddings"
    TRAINING_MANIFEST = "training manifest"
    START_TOKEN = "start token"
    """Never offered, as nearly every tokenizer names one; a checkpoint without it `lacks` it."""


def any_of(*needs: Need) -> frozenset[Need]:
    """A requirement met by any one of `needs`."""
    return frozenset(needs)
