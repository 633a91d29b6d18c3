"""The one check of every preparation: the model still gives the numbers it gave as it was shipped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.checkpoint.tokenizer import settle_padding

TEXTS = ("The film was good, but 2 of its 10 scenes weren't.", "no")
_MOST = 16
"""Tokens read of each text, at most: quick for the largest models."""
_SHORT = 4
"""Tokens of a row where the model's limit is not known: fewer than any model has positions for."""
_RELATIVE = 1e-4
_ROUNDINGS = 16
"""How many roundings of the number format the largest difference may be; other functions are far beyond it."""

Answers = list[Any]
"""Logits (hidden states without a head) of each row, torch.Tensor [tokens, size] or [labels], float32."""


def answers(model: Any, rows: Sequence[Sequence[int]]) -> Answers:
    """What the model says of each row of token ids, one at a time and unpadded, as transformers runs it."""
    import torch

    found = []
    with torch.inference_mode():
        for row in rows:
            ids = torch.tensor([list(row)], device=model.device)
            found.append(model(input_ids=ids, attention_mask=torch.ones_like(ids))[0][0].float().cpu())
    return found


def difference(before: Answers, after: Answers, dtype: Any) -> float | None:
    """The largest difference where it is beyond the rounding of `dtype`; None where both are the same function."""
    import torch

    worst = 0.0
    for one, other in zip(before, after, strict=True):
        if one.shape != other.shape or not torch.equal(one.isfinite(), other.isfinite()):
            return float("inf")
        scale = max(1.0, float(one.nan_to_num(0.0, 0.0, 0.0).abs().max()))
        gap = float((one - other).nan_to_num(0.0, 0.0, 0.0).abs().max())
        if gap > scale * max(_RELATIVE, _ROUNDINGS * torch.finfo(dtype).eps):
            worst = max(worst, gap)
    return worst or None


def some_rows(model: Any) -> list[list[int]]:
    """Rows of token ids from all over the vocabulary, for where no tokenizer is at hand."""
    import torch

    drawn = torch.randint(_vocabulary(model), (_MOST,), generator=torch.Generator().manual_seed(0)).tolist()
    return [drawn[start : start + _SHORT] for start in range(0, _MOST, _SHORT)]


def rows_of_texts(tokenizer: Any, model: Any, most: int) -> list[list[int]]:
    """Rows of the last `most` tokens of `TEXTS`, without those the model has no embedding for."""
    size = _vocabulary(model)
    rows = [[token for token in tokenizer(text)["input_ids"] if token < size][-most:] for text in TEXTS]
    return [row for row in rows if row]


def settle_same_padding(tokenizer: Any, model: Any, max_tokens: int) -> bool:
    """`settle_padding`, unless texts then have other answers; whether any text, one that ends in padding, could.

    A decoder used as classifier reads its label off the last token that is not padding. Told that EOS is padding, it
    would read a text that ends in EOS one token earlier. Where the tokenizer ends texts so, the config stays as it was
    shipped. Either way the scorer has to pad such a model with an id that no text can hold.
    """
    config = model.config
    shipped = config.pad_token_id
    most = min(_MOST, max_tokens)
    plain = rows_of_texts(tokenizer, model, most) if shipped is None else []
    settle_padding(tokenizer, config)
    padding = config.pad_token_id
    if not plain or padding is None:
        return False
    rows = [*plain, *([*row, padding][-most:] for row in plain if padding < _vocabulary(model))]
    after = answers(model, rows)
    config.pad_token_id = None
    before = answers(model, rows)
    moves = difference(before, after, model.dtype) is not None
    if difference(before[: len(plain)], after[: len(plain)], model.dtype) is None:
        config.pad_token_id = padding
    return moves


def _vocabulary(model: Any) -> int:
    """Tokens the model has an embedding for."""
    return int(model.get_input_embeddings().weight.shape[0])
