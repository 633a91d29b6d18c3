"""Greedy continuation."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from harness.api.needs import Need
from harness.api.scorer import GenerateRequest, Generation
from harness.scorer.answers import NON_FINITE, no_generation
from harness.scorer.decoding import Decoded, Picked, alike, decode, refuse, stop_tokens
from harness.scorer.handler import Handler, Parts


class Greedy:
    """Picks the token of the largest logit."""

    def pick(self, logits: torch.Tensor, writing: torch.Tensor) -> Picked:
        """The first among equals."""
        best, token = logits.max(-1)
        return Picked(token, best.isfinite())


class GreedyDecoder(Handler[GenerateRequest, Generation]):
    """Continues prompts of near lengths together."""

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
        for todo in alike(prompts, sizes, [index for index in range(len(requests)) if index not in answers]):
            answers.update(self._run_alike([prompts[index] for index in todo], sizes[todo[0]], todo))
        return [answers[index] for index in range(len(requests))]

    def _run_alike(self, prompts: Sequence[tuple[int, ...]], size: int, todo: Sequence[int]) -> dict[int, Generation]:
        """Answers by request index, all of at most `size` new tokens."""
        answers: dict[int, Generation] = {}
        counts = self.engine.count(self.kind)
        lengths = [len(prompt) + size for prompt in prompts]

        def work(batch: list[int]) -> Decoded:
            chosen = [prompts[at] for at in batch]
            return decode(self.engine, self.parts.head, chosen, size, Greedy(), self._stops)

        for batch, found in self.engine.batches(self.kind, lengths, work):
            if found is None:
                answers[todo[batch[0]]] = no_generation(self.engine.too_big(lengths[batch[0]]))
                continue
            counts.padded_tokens += len(batch) * found.read
            for at, tokens, finite in zip(batch, found.tokens, found.finite, strict=True):
                counts.tokens += len(prompts[at]) + min(len(tokens), size - 1)  # the last one is never read
                text = self.engine.decode(tokens)
                answers[todo[at]] = Generation(tuple(tokens), text) if finite else no_generation(NON_FINITE)
        return answers
