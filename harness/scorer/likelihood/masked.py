"""Pseudo-log-likelihood: each position masked alone (Salazar et al. 2020, https://aclanthology.org/2020.acl-main.240)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

import numpy as np

from harness.api.needs import Need
from harness.api.requests.masked_spans import MaskedSpanRequest
from harness.api.scorer import MaskedRequest, Request, TokenScores
from harness.errors import NotApplicableError
from harness.scorer.answers import no_scores, token_scores
from harness.scorer.forward.engine import Side
from harness.scorer.forward.positions import Columns, Wanted
from harness.scorer.handler import Handler, Parts


class Masked(Protocol):
    """A request about tokens masked one by one."""

    @property
    def tokens(self) -> tuple[int, ...]:
        """What is read."""
        ...

    @property
    def positions(self) -> tuple[int, ...]:
        """Which of them are masked, each alone."""
        ...


M = TypeVar("M", bound=Request[Any])
A = TypeVar("A")


class MaskedPositions(Handler[M, A]):
    """Reads positions; the masked copies of all requests share batches."""

    needs = Need.MASKED_LM

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        mask = self.engine.tokenizer.mask_token_id
        if mask is None:
            raise NotApplicableError(f"{parts.source}: its tokenizer names no mask token, so nothing can be masked")
        self._mask_token = int(mask)
        self._side = parts.states.side

    @abstractmethod
    def measure(self, inputs: dict[str, Any], wanted: Wanted) -> Columns:
        """What is said of each wanted token, a column per number, each [entries]."""

    def hidden(self, request: Any, slot: int) -> Sequence[int]:
        """Positions that are masked where the request's position number `slot` is read."""
        return (request.positions[slot],)

    def places(self, request: Any) -> Sequence[int]:
        """All positions that the request names."""
        named: tuple[int, ...] = request.positions
        return named

    @abstractmethod
    def answer(self, columns: Columns) -> A:
        """The answer of one request from its columns, each [positions]."""

    @abstractmethod
    def nothing(self, why: str | None = None) -> A:
        """The answer where no position was asked about, or `why` none could be read."""

    def run(self, requests: Sequence[M]) -> list[A]:
        """One answer per request, in order."""
        asked: Sequence[Any] = requests
        errors = [self._refuse(request) for request in asked]
        copies = [
            (index, slot)
            for index, request in enumerate(asked)
            if errors[index] is None
            for slot in range(len(request.positions))
        ]
        found: dict[tuple[int, int], tuple[Any, ...]] = {}
        lengths = [len(asked[index].tokens) for index, _ in copies]

        def work(batch: list[int]) -> Columns:
            return self._score(asked, [copies[row] for row in batch])

        for batch, columns in self.engine.forwards(self.kind, lengths, work, side=self._side, side_by_side=True):
            if columns is None:
                errors[copies[batch[0]][0]] = self.engine.too_big(lengths[batch[0]])
                continue
            found.update(zip([copies[row] for row in batch], zip(*columns, strict=True), strict=True))
        return [
            self.nothing(errors[index])
            if errors[index] is not None or not request.positions
            else self.answer(_columns([found[index, slot] for slot in range(len(request.positions))]))
            for index, request in enumerate(asked)
        ]

    def _refuse(self, request: Masked) -> str | None:
        if not all(0 <= position < len(request.tokens) for position in self.places(request)):
            return f"a position lies outside the {len(request.tokens)} tokens"
        return self.engine.refuse(request.tokens)

    def _score(self, requests: Sequence[Masked], copies: Sequence[tuple[int, int]]) -> Columns:
        """What is said of the masked token of each copy (request, slot), [copies]."""
        rows, positions, tokens = [], [], []
        for index, slot in copies:
            row = list(requests[index].tokens)
            position = requests[index].positions[slot]
            tokens.append(row[position])
            for place in self.hidden(requests[index], slot):
                row[place] = self._mask_token
            rows.append(row)
            positions.append(position)
        ids = self.engine.padded(rows, self.engine.pad, self._side)
        if self._side is Side.LEFT:
            positions = [position + ids.shape[1] - len(row) for position, row in zip(positions, rows, strict=True)]
        inputs = {"input_ids": ids, "attention_mask": self.engine.mask(rows, self._side)}
        wanted = Wanted(row=np.arange(len(rows)), position=np.array(positions), token=np.array(tokens))
        return self.measure(inputs, wanted)


class MaskedSpans(MaskedPositions[MaskedSpanRequest, TokenScores]):
    """Log-probability of each token of a span that is hidden."""

    asked = (MaskedSpanRequest,)
    kind = "masked_spans"

    def hidden(self, request: MaskedSpanRequest, slot: int) -> Sequence[int]:
        """What is left of the span, or all of it."""
        return request.hidden(slot)

    def places(self, request: MaskedSpanRequest) -> Sequence[int]:
        """The span, and what is blind."""
        return request.positions + request.blind

    def measure(self, inputs: dict[str, Any], wanted: Wanted) -> Columns:
        """Log-probability, and whether the token is the argmax."""
        return self.parts.head.score(inputs, wanted)

    def answer(self, columns: Columns) -> TokenScores:
        """The scores, or that they are not finite."""
        return token_scores(*columns)

    def nothing(self, why: str | None = None) -> TokenScores:
        """No scores."""
        return no_scores(why)


class MaskedScores(MaskedPositions[MaskedRequest, TokenScores]):
    """Log-probability of each position's token."""

    asked = (MaskedRequest,)
    kind = "pseudo_log_likelihood"

    def measure(self, inputs: dict[str, Any], wanted: Wanted) -> Columns:
        """Log-probability, and whether the token is the argmax."""
        return self.parts.head.score(inputs, wanted)

    def answer(self, columns: Columns) -> TokenScores:
        """The scores, or that they are not finite."""
        return token_scores(*columns)

    def nothing(self, why: str | None = None) -> TokenScores:
        """No scores."""
        return no_scores(why)


def _columns(entries: Sequence[tuple[Any, ...]]) -> Columns:
    """The numbers of each entry as a column per number."""
    return tuple(np.array(column) for column in zip(*entries, strict=True))
