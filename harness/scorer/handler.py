"""Who answers a kind of request: a Handler, one file per ability; Parts is what they share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar, Generic, TypeVar

from harness.api.needs import Need
from harness.api.scorer import Request
from harness.scorer.forward.engine import Engine
from harness.scorer.forward.pooled import PooledVectors, class_logits, mean_states, poolable
from harness.scorer.forward.positions import NeededPositions
from harness.scorer.prefixes.branches import Branches

R = TypeVar("R", bound=Request[Any])
A = TypeVar("A")


class Parts:
    """The engine, and what several handlers build on it; each part is made when it is first needed."""

    def __init__(self, engine: Engine, source: str) -> None:
        self.engine = engine
        self.source = source
        """The checkpoint's name in sentences for the user."""

    @cached_property
    def head(self) -> NeededPositions:
        """A language model's head on needed positions only."""
        return NeededPositions(self.engine.model, self.engine.vocabulary)

    @cached_property
    def branches(self) -> Branches:
        """How inputs that begin alike are read together."""
        return Branches(self.engine, self.head)

    @cached_property
    def poolable(self) -> tuple[Any, int]:
        """A classifier to call on padded batches, and what to pad with."""
        return poolable(self.engine.model, self.engine.vocabulary, moves=self.engine.padding_moves)

    @cached_property
    def states(self) -> PooledVectors:
        """The mean of the last hidden states; its side is where padding changes no token's state."""
        return PooledVectors(self.engine, "embed", mean_states(self.engine.model))

    @cached_property
    def classes(self) -> PooledVectors:
        """Class logits as classified by softmax."""
        return self.outputs("classify")

    def outputs(self, kind: str) -> PooledVectors:
        """What a head gives for a whole text, counted as `kind`."""
        model, pad = self.poolable
        return PooledVectors(self.engine, kind, class_logits(model), pad)


class Handler(ABC, Generic[R, A]):
    """Answers requests of the types `asked`; made once per scorer, when it is first asked.

    Of other packages, by an entry point in the group `assay.requests`.
    """

    asked: ClassVar[tuple[type[Request[Any]], ...]]
    kind: ClassVar[str]
    """Its name in counts and sentences."""
    needs: ClassVar[Need | None]
    """What the checkpoint must offer; None: nothing."""
    gradients: ClassVar[bool] = False
    """Whether `run` differentiates."""
    stored: ClassVar[bool] = True
    """Whether answers may be kept on disk: they hang on model, tokenizer and request alone."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.engine = parts.engine

    @property
    def why_not(self) -> str | None:
        """Why this model cannot answer though it offers what is needed; None where it can."""
        return None

    @abstractmethod
    def run(self, requests: Sequence[R]) -> list[A]:
        """One answer per request, in order. What one request cannot be answered stands in its answer."""
