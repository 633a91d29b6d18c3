"""Prompts with their completions for a causal LM: all of it is read, only the completion is learnt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.data.datasets import DataSource
from harness.errors import DataError, UsageError
from privacy.training.data.tokens import Encoded, Features

COLUMNS = {"text": "prompt", "pair": "completion"}
"""Columns of the records: a prompt is a record's text, its completion the text that goes with it."""


def with_columns(source: DataSource) -> DataSource:
    """`source`, read by the names that such records have; what it maps itself stays."""
    return source.model_copy(update={"columns": {**COLUMNS, **source.columns}})


def encode_completions(
    tokenizer: Any, prompts: Sequence[str], completions: Sequence[str], limit: int, *, chat: bool
) -> Encoded:
    """Prompt and completion as one text, ended by the end-of-sequence token, then cut.

    A record's `targets` [tokens] are its tokens from the first that its prompt alone does not begin with.

    Args:
        tokenizer: of the model.
        prompts: one of each record.
        completions: one of each record.
        limit: tokens a record may have.
        chat: whether both go through the tokenizer's chat template, as a user's turn and the answer to it.

    Raises:
        UsageError: the tokenizer has no chat template, or one that does not begin an answer as the whole goes on.
        DataError: naming a record of whose completion nothing is left within `limit`.
    """
    from privacy.clipping.losses import IGNORED  # its room imports torch, which naming columns does without

    write = _Chat(tokenizer) if chat else _plain
    written = [write(prompt, completion) for prompt, completion in zip(prompts, completions, strict=True)]
    wholes = _tokens(tokenizer, [whole for _, whole in written], special=not chat)
    starts = _tokens(tokenizer, [start for start, _ in written], special=not chat)
    records: list[Features] = []
    truncated = 0
    for row, (start, whole) in enumerate(zip(starts, wholes, strict=True)):
        ids = whole if chat else _ended(tokenizer, whole)
        given = _same(start, ids)  # a token that reaches from the prompt into the completion is learnt
        truncated += len(ids) > limit
        ids = ids[:limit]
        if len(ids) <= max(given, 1):  # nothing is predicted before the first token
            raise DataError(
                f"training record {row + 1}: its prompt takes {given} of at most {limit} tokens, so that nothing of "
                f"its completion is left to learn ({prompts[row][:40]!r}); raise max_tokens, or drop it"
            )
        targets = [IGNORED] * given + ids[given:]
        records.append({"input_ids": ids, "attention_mask": [1] * len(ids), "targets": targets})
    return Encoded(records, truncated)


def _plain(prompt: str, completion: str) -> tuple[str, str]:
    return prompt, prompt + completion


class _Chat:
    """(what the model is given, the whole exchange) as the chat template writes them."""

    def __init__(self, tokenizer: Any) -> None:
        if not getattr(tokenizer, "chat_template", None):
            raise UsageError("completions: the tokenizer of the base has no chat template; choose completions: plain")
        self._tokenizer = tokenizer

    def __call__(self, prompt: str, completion: str) -> tuple[str, str]:
        turn = [{"role": "user", "content": prompt}]
        start = self._write(turn, add_generation_prompt=True)
        whole = self._write([*turn, {"role": "assistant", "content": completion}])
        if not whole.startswith(start):
            raise UsageError(
                "completions: the chat template of the base writes an answered question otherwise than one that is to "
                f"be answered (from {start[_same(start, whole) :][:40]!r} on), so that what is learnt would not be "
                "what is asked; choose completions: plain"
            )
        return start, whole

    def _write(self, turns: list[dict[str, str]], **options: bool) -> str:
        from jinja2 import TemplateError  # transformers imports it only for templates

        try:
            return str(self._tokenizer.apply_chat_template(turns, tokenize=False, **options))
        except TemplateError as error:
            raise UsageError(
                f"completions: the chat template of the base fails ({error}); choose completions: plain"
            ) from error


def _tokens(tokenizer: Any, texts: list[str], *, special: bool) -> list[list[int]]:
    """A chat template writes special tokens itself."""
    return [list(ids) for ids in tokenizer(texts, add_special_tokens=special, verbose=False)["input_ids"]]


def _ended(tokenizer: Any, ids: list[int]) -> list[int]:
    end = tokenizer.eos_token_id
    return ids if end is None or ids[-1:] == [end] else [*ids, end]


def _same(one: Sequence[Any], other: Sequence[Any]) -> int:
    """Length of what both begin with."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (left, right) in pairs if left != right), min(len(one), len(other)))
