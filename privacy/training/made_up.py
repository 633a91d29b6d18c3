"""Records of no one: tokens drawn from the vocabulary, put together as the tokenizer puts texts together."""

from __future__ import annotations

import random
from typing import Any

from harness.scorer.texts import reads_segments, special_ids
from privacy.training.objective import with_classes
from privacy.training.spec import Task
from privacy.training.tokens import Features, encode_documents, encode_records

_WORD = "a"
"""Stands for tokens to be drawn; that most tokenizers make one token of it only spares work."""
_SHORTEST = 2
_LONGEST = 1024
"""Words; enough to meet what models do by length (BigBird's attention changes at 705 tokens)."""


def made_up_records(tokenizer: Any, model: Any, task: Task, limit: int) -> tuple[Features, ...]:
    """Three records for `task`, always the same: one of `limit` tokens (or some 1,000), a short and a middle one.

    They depend on nothing private, so what is decided on them is public.
    """
    most = max(_SHORTEST + 1, min(limit, _LONGEST))
    texts = [" ".join([_WORD] * words) for words in (most, _SHORTEST, (most + _SHORTEST) // 2)]
    if task == "causal_lm":
        records = encode_documents(tokenizer, texts, limit).records
    else:
        records = encode_records(tokenizer, texts, None, limit, segments=reads_segments(model)).records
    rng, keep = random.Random(0), special_ids(tokenizer)
    size = min(len(tokenizer), getattr(model.config, "vocab_size", len(tokenizer)))
    ordinary = sorted(set(range(size)) - set(tokenizer.all_special_ids)) or [0]
    drawn = [
        {**record, "input_ids": [token if token in keep else rng.choice(ordinary) for token in record["input_ids"]]}
        for record in records
    ]
    return tuple(with_classes(drawn, [0, 1, 0]) if task == "classification" else drawn)
