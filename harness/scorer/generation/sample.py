"""Sampled continuation: every sample is a row of its own, with random numbers of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from harness.api.needs import Need
from harness.api.requests.sampling import Ending, Sample, SampleRequest, Samples
from harness.scorer.answers import NON_FINITE
from harness.scorer.forward.engine import Engine
from harness.scorer.generation.decoding import Decoded, Picked, refuse, stop_tokens
from harness.scorer.generation.filters import distribution, draw, refuse_settings, uniform
from harness.scorer.generation.together import HELD, continued, groups
from harness.scorer.handler import Handler, Parts


@dataclass(slots=True)
class _Row:
    """One sample on its way: `number` is its own among those of its request."""

    request: SampleRequest
    number: int
    tokens: list[int] = field(default_factory=list)
    stopped_at: int | None = None
    """Where in its text a stop string begins."""


class Drawing:
    """Picks by chance, row by row in float64 on the CPU, so that a row's company changes nothing."""

    def __init__(self, engine: Engine, rows: Sequence[_Row], ends: frozenset[int]) -> None:
        self._engine = engine
        self._rows = rows
        self._ends = ends

    def pick(self, logits: torch.Tensor, writing: torch.Tensor, rows: torch.Tensor | None = None) -> Picked:
        """Draws for the rows that write, and looks for their stop strings."""
        every = torch.arange(len(self._rows), device=writing.device) if rows is None else rows
        left, writes = torch.stack([every, writing.long()]).cpu()  # at once: each makes the host wait
        tokens = torch.zeros(len(left), dtype=torch.long)
        finite = torch.ones(len(left), dtype=torch.bool)
        last = torch.zeros(len(left), dtype=torch.bool)
        chosen = torch.nonzero(writes)[:, 0]  # a device would be waited for at each of these steps
        for at, values in zip(chosen.tolist(), logits[chosen].cpu().double().numpy(), strict=True):
            row = self._rows[int(left[at])]
            largest = values.max()
            if not largest < float("inf") or not largest > float("-inf"):  # NaN, too
                finite[at] = False
                continue
            chances = distribution(values, row.request, (*row.request.prompt, *row.tokens))
            token = draw(chances, uniform(row.request.seed, row.number, len(row.tokens)))
            tokens[at] = token
            if token not in self._ends:
                row.tokens.append(token)
                last[at] = self._stops(row)
        sent = torch.stack([tokens, finite.long(), last.long()]).to(logits.device)  # at once: each makes the host wait
        return Picked(sent[0], sent[1].bool(), sent[2].bool())

    def _stops(self, row: _Row) -> bool:
        if not row.request.stop:
            return False
        text = self._engine.decode(row.tokens)
        found = [place for stop in row.request.stop if (place := text.find(stop)) >= 0]
        row.stopped_at = min(found, default=None)
        return bool(found)


class Sampler(Handler[SampleRequest, Samples]):
    """Continues prompts together."""

    asked = (SampleRequest,)
    kind = "sample"
    needs = Need.CAUSAL_LM

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        self._ends = frozenset(stop_tokens(self.engine.model, self.engine.tokenizer))
        self._stops = torch.tensor(sorted(self._ends), device=self.engine.device)

    def run(self, requests: Sequence[SampleRequest]) -> list[Samples]:
        """One answer per request, in order."""
        errors = [self._refuse(request) for request in requests]
        rows = [
            (index, number)
            for index, request in enumerate(requests)
            if errors[index] is None
            for number in range(request.samples)
        ]
        prompts = [requests[index].prompt for index, _ in rows]
        sizes = [requests[index].max_new_tokens for index, _ in rows]
        found: dict[tuple[int, int], Sample] = {}
        for todo in groups(self.parts, prompts, sizes, range(len(rows))):
            for key, sample in self._run(requests, [rows[at] for at in todo]).items():
                if isinstance(sample, str):
                    errors[key[0]] = sample
                else:
                    found[key] = sample
        return [
            Samples((), errors[index])
            if errors[index] is not None
            else Samples(tuple(found[index, number] for number in range(request.samples)))
            for index, request in enumerate(requests)
        ]

    def _refuse(self, request: SampleRequest) -> str | None:
        if request.max_new_tokens < 1:
            return f"{request.max_new_tokens} new tokens were asked for; ask for at least 1"
        why = refuse_settings(request)
        return why or refuse(self.engine, request.prompt, request.max_new_tokens)

    def _run(
        self, requests: Sequence[SampleRequest], todo: Sequence[tuple[int, int]]
    ) -> dict[tuple[int, int], Sample | str]:
        """Samples, or why there is none, by request and number."""
        answers: dict[tuple[int, int], Sample | str] = {}
        counts = self.engine.count(self.kind)
        lengths = [len(requests[index].prompt) + requests[index].max_new_tokens for index, _ in todo]

        def work(batch: list[int]) -> tuple[Decoded, list[_Row]]:
            rows = [_Row(requests[todo[at][0]], todo[at][1]) for at in batch]
            drawing = Drawing(self.engine, rows, self._ends)
            prompts = [row.request.prompt for row in rows]
            sizes = [row.request.max_new_tokens for row in rows]
            return continued(self.parts, prompts, sizes, drawing, self._stops), rows

        for batch, done in self.engine.batches(self.kind, lengths, work, memory=HELD):
            if done is None:
                answers[todo[batch[0]]] = self.engine.too_big(lengths[batch[0]])
                continue
            decoded, rows = done
            counts.padded_tokens += decoded.padded
            for at, row, finite, ended in zip(batch, rows, decoded.finite, decoded.stopped, strict=True):
                most = row.request.max_new_tokens - 1  # the last is never read
                counts.tokens += len(row.request.prompt) + min(len(row.tokens), most)
                answers[todo[at]] = self._sample(row, ended) if finite else NON_FINITE
        return answers

    def _sample(self, row: _Row, ended: bool) -> Sample:
        text = self.engine.decode(row.tokens)
        if row.stopped_at is not None:
            return Sample(tuple(row.tokens), text[: row.stopped_at], Ending.STOP)
        return Sample(tuple(row.tokens), text, Ending.END_OF_SEQUENCE if ended else Ending.LENGTH)
