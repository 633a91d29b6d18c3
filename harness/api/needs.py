"""What a checkpoint must offer for a probe to apply."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


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
    MULTIPLE_CHOICE = "multiple-choice head"
    """A number for each answer to a question, read alone; the largest of a question is the choice."""
    EMBEDDINGS = "embeddings"
    TRAINING_MANIFEST = "training manifest"
    START_TOKEN = "start token"
    """Never offered, as nearly every tokenizer names one; a checkpoint without it `lacks` it."""


def any_of(*needs: Need) -> frozenset[Need]:
    """A requirement met by any one of `needs`."""
    return frozenset(needs)


def lacking(needs: Iterable[frozenset[Need]], offers: frozenset[Need], who: str = "the checkpoint") -> str | None:
    """What `who` would have to offer, and what it offers; None where it meets every group of `needs`."""
    unmet = [" or ".join(sorted(group)) for group in needs if not group & offers]
    if not unmet:
        return None
    return f"needs a {' and a '.join(unmet)}; {who} offers {', '.join(sorted(offers)) or 'nothing'}"
