"""Records as token ids, cut at a length limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.errors import DataError

Features = dict[str, list[int]]


@dataclass(frozen=True, slots=True)
class Encoded:
    """Tokenised records."""

    records: list[Features]
    """`input_ids`, `attention_mask` and, where the model has them, `token_type_ids`: [tokens] each."""
    truncated: int
    """Records that were longer than the limit."""

    @property
    def lengths(self) -> list[int]:
        """Tokens of each record."""
        return [len(record["input_ids"]) for record in self.records]


def encode_records(tokenizer: Any, texts: Sequence[str], pairs: Sequence[str] | None, limit: int) -> Encoded:
    """Each text (or pair) with the tokenizer's special tokens; over-long ones are cut and counted."""
    records: list[Features] = []
    truncated = 0
    for row, text in enumerate(texts):
        both = (text,) if pairs is None else (text, pairs[row])
        encoded = tokenizer(*both, verbose=False)
        if len(encoded["input_ids"]) > limit:
            truncated += 1
            encoded = tokenizer(*both, truncation=True, max_length=limit)
        records.append({name: list(values) for name, values in encoded.items()})
    return Encoded(records, truncated)


def encode_documents(tokenizer: Any, texts: Sequence[str], limit: int) -> Encoded:
    """Each text for a causal LM: ended by the end-of-sequence token, then cut.

    Raises DataError naming a text of a single token, from which nothing can be predicted.
    """
    records: list[Features] = []
    truncated = 0
    end = tokenizer.eos_token_id
    for row, text in enumerate(texts):
        ids = list(tokenizer(text, verbose=False)["input_ids"])
        if end is not None and ids[-1:] != [end]:
            ids.append(end)
        truncated += len(ids) > limit
        ids = ids[:limit]
        if len(ids) < 2:
            raise DataError(f"training record {row + 1} is a single token ({text[:40]!r}); drop it")
        records.append({"input_ids": ids, "attention_mask": [1] * len(ids)})
    return Encoded(records, truncated)
