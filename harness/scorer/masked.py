"""Pseudo-log-likelihood: each position masked alone (Salazar et al. 2020, https://aclanthology.org/2020.acl-main.240)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.api.scorer import Bools, Floats, MaskedRequest, TokenScores
from harness.scorer.answers import no_scores, token_scores
from harness.scorer.engine import Engine, Side
from harness.scorer.positions import NeededPositions, Wanted

KIND = "pseudo_log_likelihood"


class MaskedScores:
    """Scores positions; the masked copies of all requests share batches."""

    def __init__(self, engine: Engine, head: NeededPositions, mask_token: int, side: Side) -> None:
        self._engine = engine
        self._head = head
        self._mask_token = mask_token
        self._side = side

    def run(self, requests: Sequence[MaskedRequest]) -> list[TokenScores]:
        """One answer per request, in order."""
        errors = [self._refuse(request) for request in requests]
        copies = [
            (index, slot)
            for index, request in enumerate(requests)
            if errors[index] is None
            for slot in range(len(request.positions))
        ]
        logprobs: list[Floats] = [np.empty(len(request.positions)) for request in requests]
        greedy: list[Bools] = [np.empty(len(request.positions), dtype=np.bool_) for request in requests]
        lengths = [len(requests[index].tokens) for index, _ in copies]

        def work(batch: list[int]) -> tuple[Floats, Bools]:
            return self._score(requests, [copies[row] for row in batch])

        for batch, scores in self._engine.forwards(KIND, lengths, work, side=self._side, side_by_side=True):
            if scores is None:
                errors[copies[batch[0]][0]] = self._engine.too_big(lengths[batch[0]])
                continue
            for row, logprob, is_greedy in zip(batch, *scores, strict=True):
                index, slot = copies[row]
                logprobs[index][slot], greedy[index][slot] = logprob, is_greedy
        return [
            no_scores(error) if error is not None else token_scores(logprobs[index], greedy[index])
            for index, error in enumerate(errors)
        ]

    def _refuse(self, request: MaskedRequest) -> str | None:
        if not all(0 <= position < len(request.tokens) for position in request.positions):
            return f"a position lies outside the {len(request.tokens)} tokens"
        return self._engine.refuse(request.tokens)

    def _score(self, requests: Sequence[MaskedRequest], copies: Sequence[tuple[int, int]]) -> tuple[Floats, Bools]:
        """Log-probability of the masked token of each copy (request, slot) and whether it is the argmax, [copies]."""
        rows, positions, tokens = [], [], []
        for index, slot in copies:
            row = list(requests[index].tokens)
            position = requests[index].positions[slot]
            tokens.append(row[position])
            row[position] = self._mask_token
            rows.append(row)
            positions.append(position)
        ids = self._engine.padded(rows, self._engine.pad, self._side)
        if self._side is Side.LEFT:
            positions = [position + ids.shape[1] - len(row) for position, row in zip(positions, rows, strict=True)]
        inputs = {"input_ids": ids, "attention_mask": self._engine.mask(rows, self._side)}
        wanted = Wanted(row=np.arange(len(rows)), position=np.array(positions), token=np.array(tokens))
        return self._head.score(inputs, wanted)
