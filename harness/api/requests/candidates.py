"""Many texts that could stand at one place: which is the likeliest?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from harness.api.scorer import Floats, Request


@dataclass(frozen=True, slots=True)
class CandidatesRequest(Request["CandidateScores"]):
    """log p(candidate | context) of each candidate; needs a causal LM.

    What candidates begin with in common is read once, so that a hundred thousand numbers of a format can be asked
    about. `context` holds at least one token, every candidate too.
    """

    heavy: ClassVar[bool] = True
    context: tuple[int, ...]
    candidates: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class CandidateScores:
    """Sum of the natural-log probabilities of each candidate's tokens, [candidates]; none where `error` says why."""

    totals: Floats
    error: str | None = None
