"""Heads that say something of each token: tags, and the ends of an answer, with the characters they stand for."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from harness.api.needs import Need
from harness.api.requests.heads import AnswerRequest, AnswerScores, TagRequest, Tags
from harness.api.scorer import Floats
from harness.scorer.answers import NON_FINITE
from harness.scorer.forward.engine import Side
from harness.scorer.handler import A, Handler, Parts, R
from harness.scorer.tokenization.offsets import PlacedRow, place_contexts, place_texts, require_offsets


class _EachToken(Handler[R, A]):
    """Batches placed rows; padding goes where it changes no token's state."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        require_offsets(self.engine.tokenizer, parts.source)

    @abstractmethod
    def place(self, requests: Sequence[R]) -> Sequence[PlacedRow | str]:
        """What is read for each request, or why nothing can be."""

    @abstractmethod
    def logits(self, output: Any) -> torch.Tensor:
        """The head's numbers for each token, [rows, tokens, numbers], from the model's output."""

    @abstractmethod
    def answer(self, placed: PlacedRow, numbers: Floats) -> A:
        """The answer from the finite numbers of all tokens of the row, [tokens, numbers]."""

    @abstractmethod
    def failed(self, why: str, truncated: int = 0) -> A:
        """No numbers, and why."""

    def run(self, requests: Sequence[R]) -> list[A]:
        """One answer per request, in order."""
        rows = self.place(requests)
        answers: dict[int, A] = {}
        todo: list[tuple[int, PlacedRow]] = []
        for index, placed in enumerate(rows):
            if isinstance(placed, str):
                answers[index] = self.failed(placed)
            elif (why := self.parts.states.refuse(placed.row)) is not None:
                answers[index] = self.failed(why, placed.row.truncated)
            else:
                todo.append((index, placed))
        self.engine.count(self.kind).truncated_rows += sum(placed.row.truncated > 0 for _, placed in todo)
        side = self.parts.states.side
        lengths = [len(placed.row.ids) for _, placed in todo]

        def work(batch: list[int]) -> list[Floats]:
            return self._forward([todo[at][1] for at in batch], side)

        for batch, found in self.engine.forwards(self.kind, lengths, work, side=side, side_by_side=True):
            for order, at in enumerate(batch):
                index, placed = todo[at]
                if found is None:
                    answers[index] = self.failed(self.engine.too_big(lengths[at]), placed.row.truncated)
                elif not np.isfinite(found[order]).all():
                    answers[index] = self.failed(NON_FINITE, placed.row.truncated)
                else:
                    answers[index] = self.answer(placed, found[order])
        return [answers[index] for index in range(len(requests))]

    def _forward(self, rows: Sequence[PlacedRow], side: Side) -> list[Floats]:
        """The numbers of each row's tokens, float64 [tokens, numbers]."""
        inputs = self.parts.states.inputs([placed.row for placed in rows], side)
        numbers = self.logits(self.engine.model(**inputs)).double().cpu().numpy()
        width = numbers.shape[1]
        starts = [width - len(placed.row.ids) if side is Side.LEFT else 0 for placed in rows]
        return [numbers[at, start : start + len(rows[at].row.ids)] for at, start in enumerate(starts)]


class Tagger(_EachToken[TagRequest, Tags]):
    """A label for each token."""

    asked = (TagRequest,)
    kind = "tag"
    needs = Need.TOKEN_CLASSIFIER

    def place(self, requests: Sequence[TagRequest]) -> Sequence[PlacedRow | str]:
        """The texts."""
        return place_texts(self.engine.tokenizer, [request.text for request in requests], self.engine.max_tokens)

    def logits(self, output: Any) -> torch.Tensor:
        """Of each label."""
        found: torch.Tensor = output.logits
        return found

    def answer(self, placed: PlacedRow, numbers: Floats) -> Tags:
        """Special tokens left out."""
        return Tags(numbers[list(placed.places)], placed.offsets, placed.row.truncated)

    def failed(self, why: str, truncated: int = 0) -> Tags:
        """No tags."""
        return Tags(np.empty((0, 0)), (), truncated, why)


class SpanFinder(_EachToken[AnswerRequest, AnswerScores]):
    """The first and last token of an answer."""

    asked = (AnswerRequest,)
    kind = "answer"
    needs = Need.QUESTION_ANSWERING

    def place(self, requests: Sequence[AnswerRequest]) -> Sequence[PlacedRow | str]:
        """The contexts, each after its question."""
        pairs = [(request.question, request.context) for request in requests]
        return place_contexts(self.engine.tokenizer, pairs, self.engine.max_tokens)

    def logits(self, output: Any) -> torch.Tensor:
        """As first and as last token."""
        return torch.stack([output.start_logits, output.end_logits], -1)

    def answer(self, placed: PlacedRow, numbers: Floats) -> AnswerScores:
        """Tokens of the context, and those of [CLS] for none."""
        own = numbers[list(placed.places)]
        cls = self.engine.tokenizer.cls_token_id
        none = float(numbers[placed.row.ids.index(cls)].sum()) if cls in placed.row.ids else None
        return AnswerScores(own[:, 0], own[:, 1], placed.offsets, none, placed.row.truncated)

    def failed(self, why: str, truncated: int = 0) -> AnswerScores:
        """No span."""
        return AnswerScores(np.empty(0), np.empty(0), (), None, truncated, why)
