"""Records of no one: tokens drawn from the vocabulary, put together as the tokenizer puts texts together."""

from __future__ import annotations

import random
from typing import Any

from harness.scorer.tokenization.texts import reads_segments, special_ids
from privacy.training.data.tokens import Features, encode_documents, encode_records
from privacy.training.models.objective import with_classes
from privacy.training.settings.spec import Task

_WORD = "a"
"""Stands for tokens to be drawn; that most tokenizers make one token of it only spares work."""
_SHORT = (2, 3, 4, 5, 8, 13)
"""Words of short records: odd and even lengths, and all that is left over of fours, which Funnel pools."""
_LONGEST = 1024
"""Words; enough to meet what models do by length (BigBird's attention changes at 705 tokens)."""


def made_up_records(tokenizer: Any, model: Any, task: Task, limit: int) -> tuple[list[Features], list[Features]]:
    """Records for `task`, always the same: one of `limit` tokens (or some 1,000), a short and a middle one; short ones.

    They depend on nothing private, so what is decided on them is public.
    """
    most = max(_SHORT[1], min(limit, _LONGEST))
    apart = (most, _SHORT[0], most // 2)
    texts = [" ".join([_WORD] * words) for words in (*apart, *_SHORT)]
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
    if task == "causal_lm":  # records with completions bring their targets
        drawn = [{**record, "targets": record["input_ids"]} for record in drawn]
    if task == "classification":
        drawn = with_classes(drawn, [row % 2 for row in range(len(drawn))])
    return drawn[: len(apart)], drawn[len(apart) :]
