"""One vector per text: class logits, or the mean of the last hidden states."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from typing import Any, TypeVar

import torch

from harness.api.scorer import Floats, InputRequest, TextRequest
from harness.scorer.forward.engine import Engine, Side
from harness.scorer.forward.trunk import agree
from harness.scorer.tokenization.texts import Text, TextRow, reads_segments, refuse_segments, to_rows, tokenise

Answer = TypeVar("Answer")
Key = tuple[tuple[int, ...], tuple[int, ...]]
"""Token and segment ids of a row."""
Vectors = Callable[[dict[str, torch.Tensor]], torch.Tensor]
"""Model inputs [rows, tokens] to one vector per row."""


def class_logits(model: Any) -> Vectors:
    """Class logits [rows, labels]; `model` as `poolable` gives it."""

    def logits(inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        found: torch.Tensor = model(**inputs).logits
        return found

    return logits


class _Trunk(torch.nn.Module):
    """A trunk that reads token 0 for ids beyond its vocabulary, which stand for padding; attention skips them."""

    def __init__(self, trunk: torch.nn.Module, vocabulary: int) -> None:
        super().__init__()
        self.trunk, self.vocabulary = trunk, vocabulary

    def forward(self, input_ids: torch.Tensor, *args: Any, **rest: Any) -> Any:
        return self.trunk(as_read(input_ids, self.vocabulary), *args, **rest)


def as_read(ids: torch.Tensor, vocabulary: int) -> torch.Tensor:
    """Ids as the embedding layer reads them: token 0 for padding that is no token."""
    return ids.masked_fill(ids >= vocabulary, 0)


def poolable(model: Any, vocabulary: int, *, moves: bool) -> tuple[Any, int]:
    """The classifier to call on padded batches, and what to pad with; the model itself is left as it is.

    A decoder used as classifier reads its label off the last token that is not `config.pad_token_id`. Where its config
    as shipped names no such token (`moves`, or none is named now) the label is that of the last token, whatever it is:
    then padding must be an id that no text can hold, the first one beyond the vocabulary. Only the way to the trunk is
    copied.
    """
    named = model.config.pad_token_id
    if named is not None and 0 <= named < vocabulary and not moves:
        return model, named
    padded = copy(model)
    padded.config = copy(model.config)
    padded.config.pad_token_id = vocabulary
    prefix = getattr(model, "base_model_prefix", "")
    if prefix not in model._modules:  # a shipped class: then only texts of one length share a batch
        return padded, 0
    padded._modules = {**model._modules, prefix: _Trunk(model._modules[prefix], vocabulary)}
    return padded, vocabulary


def mean_states(model: Any) -> Vectors:
    """Mean of the last hidden states over the tokens that are not padding, [rows, hidden]."""
    base = model.base_model  # the model itself where it has no head

    def means(inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        states: torch.Tensor = base(**inputs).last_hidden_state
        weight = inputs["attention_mask"][..., None].to(states.dtype)
        return (states * weight).sum(1) / weight.sum(1)

    return means


class PooledVectors:
    """Batches texts through a function of the model, padded on a side that changes nothing."""

    def __init__(
        self, engine: Engine, kind: str, vectors: Vectors, pad: int | None = None, *, side_by_side: bool = True
    ) -> None:
        self._engine = engine
        self._side_by_side = side_by_side
        self._kind = kind
        self._vectors = vectors
        self._pad = engine.pad if pad is None else pad
        self._segments = reads_segments(engine.model)
        self._side: Side | None = None

    @property
    def side(self) -> Side:
        """Where padding leaves the vectors as they are; found out on first use."""
        if self._side is None:
            with torch.inference_mode():
                self._side = self._find_side()
        return self._side

    def run(
        self,
        requests: Sequence[Text | InputRequest],
        answer: Callable[[Floats, int], Answer],
        failed: Callable[[str, int], Answer],
    ) -> list[Answer]:
        """`answer` of each request's vector, in order, or `failed` with the reason; both get the tokens cut off."""
        rows = self.rows(requests)
        self._engine.count(self._kind).truncated_rows += sum(row.truncated > 0 for row in rows)
        refusals = [self.refuse(row) for row in rows]
        keys = [(tuple(row.ids), tuple(row.segments)) for row in rows]
        todo = {key: row for key, row, why in zip(keys, rows, refusals, strict=True) if why is None}
        vectors = self._vectors_of(todo)
        answers = []
        for row, key, why in zip(rows, keys, refusals, strict=True):
            vector = vectors[key] if why is None else None
            if vector is None:
                answers.append(failed(why or self._engine.too_big(len(row.ids)), row.truncated))
            else:
                answers.append(answer(vector, row.truncated))
        return answers

    def rows(self, requests: Sequence[Text | InputRequest]) -> list[TextRow]:
        """What the model reads for each request; texts are cut to its length, tokens are not."""
        return to_rows(self._engine.tokenizer, requests, self._engine.max_tokens)

    def refuse(self, row: TextRow) -> str | None:
        """Why the model cannot read the row."""
        return self._engine.refuse(row.ids) or (refuse_segments(row, self._engine.model) if self._segments else None)

    def inputs(self, rows: Sequence[TextRow], side: Side) -> dict[str, torch.Tensor]:
        """Rows as the model takes them, padded on the side, each [rows, longest]."""
        ids = [row.ids for row in rows]
        inputs = {
            "input_ids": self._engine.padded(ids, self._pad, side),
            "attention_mask": self._engine.mask(ids, side),
        }
        if self._segments:
            inputs["token_type_ids"] = self._engine.padded([row.segments for row in rows], 0, side)
        return inputs

    def _vectors_of(self, rows: Mapping[Key, TextRow]) -> dict[Key, Floats | None]:
        """The vector of each distinct row, read once: equal rows get the same bits. None: it does not fit in memory."""
        keys, distinct = list(rows), list(rows.values())
        found: dict[Key, Floats | None] = {}
        side = self.side

        def work(batch: list[int]) -> Floats:
            return self._forward([distinct[number] for number in batch], side)

        lengths = [len(row.ids) for row in distinct]
        for batch, vectors in self._engine.forwards(
            self._kind, lengths, work, side=side, side_by_side=self._side_by_side
        ):
            for at, number in enumerate(batch):
                found[keys[number]] = None if vectors is None else vectors[at]
        return found

    def _forward(self, rows: Sequence[TextRow], side: Side) -> Floats:
        """Vectors of the rows, float64 [rows, size]."""
        vectors: Floats = self._vectors(self.inputs(rows, side)).double().cpu().numpy()
        return vectors

    def _find_side(self) -> Side:
        """A side on which a short text may be padded: its vector stays the same beside a long one."""
        texts = [TextRequest("a"), TextRequest("a b c d e f g h")]
        short, long = tokenise(self._engine.tokenizer, texts, self._engine.max_tokens)
        alone = torch.from_numpy(self._forward([short], Side.NONE)[0])
        for side in (Side.RIGHT, Side.LEFT):
            beside = torch.from_numpy(self._forward([long, short], side)[1])
            if agree(beside, alone, self._engine.model.dtype):
                return side
        return Side.NONE
