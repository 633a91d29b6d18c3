"""Greedy continuation with a key-value cache.

Rows of a batch start together at the length of the shortest prompt; a longer prompt feeds its own next token instead
of the generated one until it ends. So nothing is padded on the left, and no position id or mask has to make up for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from harness.api.scorer import GenerateRequest, Generation
from harness.scorer.answers import NON_FINITE, no_generation
from harness.scorer.engine import Engine
from harness.scorer.positions import NeededPositions

KIND = "generate"


@dataclass(frozen=True, slots=True)
class Greedy:
    """Tokens that follow each prompt up to EOS, [rows][new]; whether the logits were finite; positions read per row."""

    tokens: list[list[int]]
    finite: list[bool]
    read: int


class GreedyDecoder:
    """Continues prompts of near lengths together."""

    def __init__(self, engine: Engine, head: NeededPositions) -> None:
        self._engine = engine
        self._head = head
        self._stops = torch.tensor(sorted(stop_tokens(engine.model, engine.tokenizer)), device=engine.device)

    def run(self, requests: Sequence[GenerateRequest]) -> list[Generation]:
        """One answer per request, in order."""
        answers: dict[int, Generation] = {}
        for index, request in enumerate(requests):
            why = self._refuse(request)
            if why is not None or request.max_new_tokens < 1:
                answers[index] = no_generation(why)
        for todo in alike(requests, [index for index in range(len(requests)) if index not in answers]):
            prompts = [requests[index].prompt for index in todo]
            answers.update(self._run_alike(prompts, requests[todo[0]].max_new_tokens, todo))
        return [answers[index] for index in range(len(requests))]

    def _run_alike(self, prompts: Sequence[tuple[int, ...]], size: int, todo: Sequence[int]) -> dict[int, Generation]:
        """Answers by request index, all of at most `size` new tokens."""
        answers: dict[int, Generation] = {}
        counts = self._engine.count(KIND)
        lengths = [len(prompt) + size for prompt in prompts]

        def work(batch: list[int]) -> Greedy:
            return self._decode([prompts[at] for at in batch], size)

        for batch, found in self._engine.batches(KIND, lengths, work):
            if found is None:
                answers[todo[batch[0]]] = no_generation(self._engine.too_big(lengths[batch[0]]))
                continue
            counts.padded_tokens += len(batch) * found.read
            for at, tokens, finite in zip(batch, found.tokens, found.finite, strict=True):
                counts.tokens += len(prompts[at]) + min(len(tokens), size - 1)  # the last one is never read
                text = self._engine.decode(tokens)
                answers[todo[at]] = Generation(tuple(tokens), text) if finite else no_generation(NON_FINITE)
        return answers

    def _refuse(self, request: GenerateRequest) -> str | None:
        total = len(request.prompt) + request.max_new_tokens
        if request.prompt and total > self._engine.max_tokens:
            return (
                f"a prompt of {len(request.prompt)} and {request.max_new_tokens} new tokens are more than "
                f"the {self._engine.max_tokens} the model reads at once"
            )
        return self._engine.refuse(request.prompt)

    def _decode(self, prompts: Sequence[tuple[int, ...]], size: int) -> Greedy:
        """Greedy continuations of at most `size` tokens."""
        starts = torch.tensor([len(prompt) for prompt in prompts], device=self._engine.device)
        shortest, longest = int(starts.min()), int(starts.max())
        board = self._engine.padded([(*prompt, *([self._engine.pad] * size)) for prompt in prompts], self._engine.pad)
        open_rows = torch.ones_like(starts, dtype=torch.bool)
        finite = torch.ones_like(open_rows)
        lengths = torch.zeros_like(starts)
        cache: Any = None
        read = 0
        for at in range(shortest, longest + size):
            logits, cache = self._head.next_token(board[:, :at], read, cache)
            best, token = logits.max(-1)
            writing = open_rows & (at >= starts)
            finite &= ~writing | best.isfinite()
            writing &= finite & ~torch.isin(token, self._stops)
            open_rows = writing | (open_rows & (at < starts))
            board[:, at] = torch.where(writing, token, board[:, at])
            lengths += writing
            open_rows &= at < starts + size - 1
            read = at
            if not open_rows.any():
                break
        rows = zip(board.tolist(), starts.tolist(), lengths.tolist(), strict=True)
        return Greedy([row[start : start + length] for row, start, length in rows], finite.tolist(), read)


def alike(requests: Sequence[GenerateRequest], indices: Sequence[int]) -> list[list[int]]:
    """Indices in groups that may share batches: as many new tokens, and prompts of near lengths.

    A prompt longer than the others by n tokens costs its batch n steps, a batch of its own as many as there are new
    tokens; groups end at half of that.
    """
    groups: list[list[int]] = []
    for index in sorted(indices, key=lambda index: (requests[index].max_new_tokens, len(requests[index].prompt))):
        request = requests[index]
        shortest = requests[groups[-1][0]] if groups else GenerateRequest((), 0)
        longer = len(request.prompt) - len(shortest.prompt)
        if shortest.max_new_tokens == request.max_new_tokens and longer <= request.max_new_tokens // 2:
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups


def stop_tokens(model: Any, tokenizer: Any) -> set[int]:
    """Every end-of-sequence token that the tokenizer, the config and the generation config name."""
    configs = (model.config, getattr(model, "generation_config", None), tokenizer)
    stops: set[int] = set()
    for config in configs:
        named = getattr(config, "eos_token_id", None)
        stops.update(named if isinstance(named, list) else [] if named is None else [named])
    return stops
