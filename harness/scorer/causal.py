"""What a causal language model says of a target after its context: log p(target | context)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import torch

from harness.api.needs import Need
from harness.api.scorer import Request, TokenRequest, TokenScores
from harness.errors import NotApplicableError
from harness.scorer.answers import no_scores, token_scores
from harness.scorer.handler import Handler, Parts
from harness.scorer.positions import Columns, Wanted
from harness.scorer.trunk import agree


class Continued(Protocol):
    """A request about a target after its context."""

    @property
    def context(self) -> tuple[int, ...]:
        """At least one token."""
        ...

    @property
    def target(self) -> tuple[int, ...]:
        """The tokens asked about."""
        ...


C = TypeVar("C", bound=Request[Any])
A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class Job:
    """One request: the model reads `read`, and its logits from position `first` on predict `target`."""

    index: int
    read: tuple[int, ...]
    first: int
    target: tuple[int, ...]


class CausalPositions(Handler[C, A]):
    """Reads targets; a request whose tokens begin another request's rides on that one's forward pass.

    Rows are padded on the right, unmasked: a causal model never sees what follows, which is checked once.
    """

    needs = Need.CAUSAL_LM

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        self._is_causal: bool | None = None

    @abstractmethod
    def measure(self, inputs: dict[str, Any], wanted: Wanted) -> Columns:
        """What is said of each wanted token, a column per number, each [entries]."""

    @abstractmethod
    def answer(self, columns: Columns) -> A:
        """The answer of one target from its columns, each [targets]."""

    @abstractmethod
    def nothing(self, why: str | None = None) -> A:
        """The answer where no token was asked about, or `why` none could be read."""

    def run(self, requests: Sequence[C]) -> list[A]:
        """One answer per request, in order. Raises NotApplicableError where the model turns out not to be causal."""
        if self._is_causal is None:
            self._is_causal = self._check_causal()
        if not self._is_causal:
            raise NotApplicableError(
                f"{type(self.engine.model).__name__} is not causal: later tokens change the scores of earlier ones, "
                "so it gives no left-to-right probabilities"
            )
        asked: Sequence[Any] = requests
        answers = [self._answer_without_model(request) for request in asked]
        jobs = [
            Job(index, (request.context + request.target)[:-1], len(request.context) - 1, request.target)
            for index, request in enumerate(asked)
            if answers[index] is None
        ]
        groups = share_prefixes(jobs)
        lengths = [len(group[0].read) for group in groups]

        def work(batch: list[int]) -> list[A]:
            return self._score([groups[row] for row in batch])

        for batch, scores in self.engine.forwards(self.kind, lengths, work, side_by_side=True):
            scored = [job for row in batch for job in groups[row]]
            if scores is None:
                scores = [self.nothing(self.engine.too_big(lengths[batch[0]]))] * len(scored)
            for job, answer in zip(scored, scores, strict=True):
                answers[job.index] = answer
        return [answer for answer in answers if answer is not None]

    def _answer_without_model(self, request: Continued) -> A | None:
        if not request.target:
            return self.nothing()
        if not request.context:
            return self.nothing("the context is empty; begin it with start_token")
        tokens = request.context + request.target
        why = self.engine.refuse(tokens[:-1]) or self.engine.refuse(tokens[-1:])  # the last token is never read
        return self.nothing(why) if why else None

    def _score(self, groups: Sequence[Sequence[Job]]) -> list[A]:
        """Answers of all jobs, group by group, from one forward pass of each group's first."""
        jobs = [job for group in groups for job in group]
        sizes = np.array([len(job.target) for job in jobs])
        ends = np.cumsum(sizes)
        offsets = np.arange(ends[-1]) - np.repeat(ends - sizes, sizes)
        wanted = Wanted(
            row=np.repeat([row for row, group in enumerate(groups) for _ in group], sizes),
            position=np.repeat([job.first for job in jobs], sizes) + offsets,
            token=np.array([token for job in jobs for token in job.target]),
        )
        ids = self.engine.padded([group[0].read for group in groups], self.engine.pad)
        columns = [np.split(column, ends[:-1]) for column in self.measure(self._inputs(ids), wanted)]
        return [self.answer(mine) for mine in zip(*columns, strict=True)]

    def _inputs(self, ids: torch.Tensor) -> dict[str, Any]:
        """A mask of ones spares transformers the search for packed texts, and lets attention be plainly causal."""
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "use_cache": False}

    def _check_causal(self) -> bool:
        """Whether an early score stays the same when more tokens follow (not so in BERT without `is_decoder`)."""
        engine = self.engine
        ids = torch.arange(min(6, engine.max_tokens), device=engine.device)[None] % engine.vocabulary
        wanted = Wanted(row=np.array([0]), position=np.array([0]), token=np.array([1 % engine.vocabulary]))
        alone, _ = self.parts.head.score(self._inputs(ids[:, :1]), wanted)
        followed, _ = self.parts.head.score(self._inputs(ids), wanted)
        return agree(torch.from_numpy(followed), torch.from_numpy(alone), engine.model.dtype)


class CausalScores(CausalPositions[TokenRequest, TokenScores]):
    """log p(target | context)."""

    asked = (TokenRequest,)
    kind = "token_logprobs"

    def measure(self, inputs: dict[str, Any], wanted: Wanted) -> Columns:
        """Log-probability, and whether the token is the argmax."""
        return self.parts.head.score(inputs, wanted)

    def answer(self, columns: Columns) -> TokenScores:
        """The scores, or that they are not finite."""
        return token_scores(*columns)

    def nothing(self, why: str | None = None) -> TokenScores:
        """No scores."""
        return no_scores(why)


def share_prefixes(jobs: Sequence[Job]) -> list[list[Job]]:
    """Jobs in groups that one forward pass serves: the first reads the most, the others read a beginning of it."""
    groups: list[list[Job]] = []
    for job in sorted(jobs, key=lambda job: job.read, reverse=True):
        # in this order an input is followed at once by all of its own beginnings, or by another input
        if groups and groups[-1][0].read[: len(job.read)] == job.read:
            groups[-1].append(job)
        else:
            groups.append([job])
    return groups
