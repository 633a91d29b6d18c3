"""One vector per text: states of a layer, pooled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from harness.api.scorer import Embedding, EmbedRequest, Pooling
from harness.scorer.answers import embedding, no_embedding
from harness.scorer.forward.pooled import PooledVectors, Vectors
from harness.scorer.handler import Handler, Parts

How = tuple[Pooling, int | None]
_DEFAULT: How = (Pooling.MEAN, None)


class Embeddings(Handler[EmbedRequest, Embedding]):
    """Texts pooled the same way, at the same layer, share batches."""

    asked = (EmbedRequest,)
    kind = "embed"
    needs = None

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        self._pooled: dict[How, PooledVectors] = {_DEFAULT: parts.states}
        self._layers = int(getattr(self.engine.model.config, "num_hidden_layers", 0) or 0)

    def run(self, requests: Sequence[EmbedRequest]) -> list[Embedding]:
        """One answer per request, in order."""
        answers = {
            index: no_embedding(why)
            for index, request in enumerate(requests)
            if (why := self._refuse(request.layer)) is not None
        }
        groups: dict[How, list[int]] = {}
        for index, request in enumerate(requests):
            if index not in answers:
                groups.setdefault((request.pooling, request.layer), []).append(index)
        for how, chosen in groups.items():
            found = self._vectors(how).run([requests[index] for index in chosen], embedding, no_embedding)
            answers.update(zip(chosen, found, strict=True))
        return [answers[index] for index in range(len(requests))]

    def _refuse(self, layer: int | None) -> str | None:
        if layer is None or 0 <= layer <= self._layers:
            return None
        return f"layer {layer} was asked for; the model has {self._layers}, counted from 1 (0 is what the first reads)"

    def _vectors(self, how: How) -> PooledVectors:
        """Transformers collects layers by changing the model for as long as it runs: then one batch at a time."""
        if how not in self._pooled:
            vectors = pooled_states(self.engine.model, *how, self.engine.tokenizer.cls_token_id)
            self._pooled[how] = PooledVectors(self.engine, self.kind, vectors, side_by_side=how[1] is None)
        return self._pooled[how]


def pooled_states(model: Any, pooling: Pooling, layer: int | None, cls: int | None) -> Vectors:
    """States [rows, tokens, hidden] of a layer (None: the last, as the head reads it) pooled to [rows, hidden]."""
    base = model.base_model  # the model itself where it has no head

    def states_of(inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        if layer is None:
            last: torch.Tensor = base(**inputs).last_hidden_state
            return last
        asked: torch.Tensor = base(**inputs, output_hidden_states=True).hidden_states[layer]
        return asked

    def vectors(inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        states = states_of(inputs)
        real = inputs["attention_mask"].bool()
        if pooling is Pooling.MEAN:
            weight = real[..., None].to(states.dtype)
            return (states * weight).sum(1) / weight.sum(1)
        if pooling is Pooling.MAX:
            return states.masked_fill(~real[..., None], float("-inf")).amax(1)
        place = _last(real) if pooling is Pooling.LAST else _cls(inputs["input_ids"], real, cls)
        return states[torch.arange(len(states), device=states.device), place]

    return vectors


def _last(real: torch.Tensor) -> torch.Tensor:
    """Position of the last token that is not padding, [rows]."""
    return real.shape[1] - 1 - real.flip(1).int().argmax(1)


def _cls(ids: torch.Tensor, real: torch.Tensor, cls: int | None) -> torch.Tensor:
    """Position of the first [CLS] token, [rows], which XLNet has at the end; of the first token where there is none."""
    named = real & (ids == cls) if cls is not None else torch.zeros_like(real)
    return torch.where(named.any(1), named.int().argmax(1), real.int().argmax(1))
