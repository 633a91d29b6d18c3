"""Greedy continuation."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from harness.api.needs import Need
from harness.api.scorer import GenerateRequest, Generation
from harness.scorer.answers import NON_FINITE, no_generation
from harness.scorer.generation.decoding import Decoded, Picked, refuse, stop_tokens
from harness.scorer.generation.together import HELD, continued, groups
from harness.scorer.handler import Handler, Parts


class Greedy:
    """Picks the token of the largest logit."""

    def pick(self, logits: torch.Tensor, writing: torch.Tensor, rows: torch.Tensor | None = None) -> Picked:
        """The first among equals."""
        best, token = logits.max(-1)
        return Picked(token, best.isfinite())


class GreedyDecoder(Handler[GenerateRequest, Generation]):
    """Continues prompts together."""

    asked = (GenerateRequest,)
    kind = "generate"
    needs = Need.CAUSAL_LM

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        engine = parts.engine
        self._stops = torch.tensor(sorted(stop_tokens(engine.model, engine.tokenizer)), device=engine.device)

    def run(self, requests: Sequence[GenerateRequest]) -> list[Generation]:
        """One answer per request, in order."""
        answers: dict[int, Generation] = {}
        for index, request in enumerate(requests):
            why = refuse(self.engine, request.prompt, request.max_new_tokens)
            if why is not None or request.max_new_tokens < 1:
                answers[index] = no_generation(why)
        prompts = [request.prompt for request in requests]
        sizes = [request.max_new_tokens for request in requests]
        rest = [index for index in range(len(requests)) if index not in answers]
        for todo in groups(self.parts, prompts, sizes, rest):
            answers.update(self._run([prompts[index] for index in todo], [sizes[index] for index in todo], todo))
        return [answers[index] for index in range(len(requests))]

    def _run(
        self, prompts: Sequence[tuple[int, ...]], sizes: Sequence[int], todo: Sequence[int]
    ) -> dict[int, Generation]:
        """Answers by request index."""
        answers: dict[int, Generation] = {}
        counts = self.engine.count(self.kind)
        lengths = [len(prompt) + size for prompt, size in zip(prompts, sizes, strict=True)]

        def work(batch: list[int]) -> Decoded:
            chosen, most = [prompts[at] for at in batch], [sizes[at] for at in batch]
            return continued(self.parts, chosen, most, Greedy(), self._stops)

        for batch, found in self.engine.batches(self.kind, lengths, work, memory=HELD):
            if found is None:
                answers[todo[batch[0]]] = no_generation(self.engine.too_big(lengths[batch[0]]))
                continue
            counts.padded_tokens += found.padded
            for at, tokens, finite in zip(batch, found.tokens, found.finite, strict=True):
                counts.tokens += len(prompts[at]) + min(len(tokens), sizes[at] - 1)  # the last one is never read
                text = self.engine.decode(tokens)
                answers[todo[at]] = Generation(tuple(tokens), text) if finite else no_generation(NON_FINITE)
        return answers
