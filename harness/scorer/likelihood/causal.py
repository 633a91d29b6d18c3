"""What a causal language model says of a target after its context: log p(target | context)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol, TypeVar

import numpy as np
import torch

from harness.api.needs import Need
from harness.api.scorer import Request, TokenRequest, TokenScores
from harness.errors import NotApplicableError
from harness.scorer.answers import no_scores, token_scores
from harness.scorer.forward.positions import Columns, Ints, Wanted
from harness.scorer.forward.trunk import agree
from harness.scorer.handler import Handler, Parts
from harness.scorer.prefixes.branches import Stem
from harness.scorer.prefixes.layout import Layout, Part, lay_out
from harness.scorer.prefixes.sheet import Job, Sheet, share_prefixes


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
        for job, answer in zip(jobs, self._read(jobs), strict=True):
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

    def _read(self, jobs: Sequence[Job]) -> list[A]:
        """One answer per job. What did not fit in memory together with others is read again alone."""
        sheet = Sheet([replace(job, index=at) for at, job in enumerate(jobs)])
        groups = share_prefixes(sheet.jobs)
        limits = self.parts.branches.limits(self.engine.budget(self.kind))
        layout = lay_out([group[0].read for group in groups], limits)
        shares = not layout.whole.is_plain
        if shares and not self.parts.branches.work:
            layout, shares = lay_out([group[0].read for group in groups], None), False
        self._fill(sheet, groups, layout)
        if shares and (missing := set(sheet.missing())):
            again = [group for group in groups if any(job.index in missing for job in group)]
            self._fill(sheet, again, lay_out([group[0].read for group in again], None))
        lengths = {job.index: len(group[0].read) for group in groups for job in group}
        missing = set(sheet.missing())
        return [
            self.nothing(self.engine.too_big(lengths[at])) if at in missing else self.answer(sheet.found(at))
            for at in range(len(jobs))
        ]

    def _fill(self, sheet: Sheet, groups: Sequence[Sequence[Job]], layout: Layout) -> None:
        numbers = [job.index for group in groups for job in group]
        sheet.place(numbers, layout, [at for at, group in enumerate(groups) for _ in group])
        self._fill_part(sheet, layout.whole, None)

    def _fill_part(self, sheet: Sheet, part: Part, before: Stem | None) -> None:
        """Read a part's stem, its rows, and its parts; without the stem, nothing of it is filled in."""
        stem = before if part.stem is None else self._read_stem(sheet, part, before)
        if part.stem is not None and stem is None:
            return

        def work(batch: list[int]) -> tuple[Ints, Columns]:
            rows = [part.rows[at] for at in batch]
            entries, wanted = sheet.wanted(rows)
            return entries, self.measure(self.parts.branches.inputs(rows, stem), wanted)

        lengths = [row.size for row in part.rows]
        for _, found in self.engine.forwards(self.kind, lengths, work, side_by_side=True):
            if found is not None:
                sheet.put(*found)
        for inner in part.parts:
            self._fill_part(sheet, inner, stem)

    def _read_stem(self, sheet: Sheet, part: Part, before: Stem | None) -> Stem | None:
        """The part's stem, None where memory ran out."""
        assert part.stem is not None
        tokens = part.stem.read[part.stem.start : part.stem.end]

        def work(_: list[int]) -> Stem:
            inputs, stem = self.parts.branches.stem(tokens, before)
            entries, wanted = sheet.wanted([part])
            if len(entries):
                sheet.put(entries, self.measure(inputs, wanted))
            else:
                self.parts.head.fill(inputs)
            return stem

        ((_, stem),) = self.engine.forwards(self.kind, [len(tokens)], work)
        return stem

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
