"""Records as token ids, cut at a length limit."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from harness.api.scorer import TextRequest
from harness.errors import DataError
from harness.scorer.tokenization.texts import tokenise

Features = dict[str, list[int]]


@dataclass(frozen=True, slots=True)
class Encoded:
    """Tokenised records."""

    records: list[Features]
    """`input_ids`, `attention_mask` and, where the model reads them, `token_type_ids`: [tokens] each."""
    truncated: int
    """Records that were longer than the limit."""

    @property
    def lengths(self) -> list[int]:
        """Tokens of each record."""
        return [len(record["input_ids"]) for record in self.records]


def encode_records(
    tokenizer: Any, texts: Sequence[str], pairs: Sequence[str | None] | None, limit: int, *, segments: bool
) -> Encoded:
    """Each text (or pair) as the Scorer tokenises and cuts it, so that an audit reads what training read."""
    both = [TextRequest(text, pairs[row] if pairs else None) for row, text in enumerate(texts)]
    rows = tokenise(tokenizer, both, limit)
    records = []
    for row in rows:
        record = {"input_ids": row.ids, "attention_mask": [1] * len(row.ids)}
        records.append({**record, "token_type_ids": row.segments} if segments else record)
    return Encoded(records, sum(row.truncated > 0 for row in rows))


def maskable(ids: Sequence[int], special: Collection[int]) -> list[int]:
    """Positions of the tokens that a masked LM may be asked for: those that are not special."""
    return [position for position, token in enumerate(ids) if token not in special]


def check_maskable(tokenizer: Any, records: Sequence[Features]) -> None:
    """Raises DataError naming a record with nothing to mask, before training meets it."""
    special = frozenset(tokenizer.all_special_ids)
    for row, record in enumerate(records):
        if not maskable(record["input_ids"], special):
            shown = tokenizer.decode(record["input_ids"])[:40]
            raise DataError(
                f"training record {row + 1} holds no token to mask ({shown!r}); drop it, or raise max_tokens"
            )


def encode_documents(tokenizer: Any, texts: Sequence[str], limit: int) -> Encoded:
    """Each text for a causal LM: ended by the end-of-sequence token, then cut.

    Raises DataError naming a text of a single token, from which nothing can be predicted.
    """
    records: list[Features] = []
    truncated = 0
    end = tokenizer.eos_token_id
    for row, encoded in enumerate(tokenizer(list(texts), verbose=False)["input_ids"]):
        ids = list(encoded)
        if end is not None and ids[-1:] != [end]:
            ids.append(end)
        truncated += len(ids) > limit
        ids = ids[:limit]
        if len(ids) < 2:
            raise DataError(f"training record {row + 1} is a single token ({texts[row][:40]!r}); drop it")
        records.append({"input_ids": ids, "attention_mask": [1] * len(ids)})
    return Encoded(records, truncated)
