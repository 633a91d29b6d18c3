"""Masked LM and, from the first token, whether the second text of a record follows the first.

Next-sentence prediction (Devlin et al. 2019): half of the records seen get the second text of another record. Under
differential privacy that would put one person's text into another's loss, so there the two texts of half of the
records are swapped instead: sentence-order prediction (Lan et al. 2020, arXiv 1909.11942), which needs no other record.
Class 0: they follow each other, as in BERT and ALBERT.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from harness.errors import DataError
from privacy.clipping.losses import IGNORED, token_losses
from privacy.training.data.batches import MicroBatch
from privacy.training.data.tokens import Features
from privacy.training.models.objective import Objective, model_inputs

FOLLOWS, FOLLOWS_NOT = 0, 1

_SENTENCE_END = re.compile(r"""[.!?…]["'”’»)\]]*\s+|[。！？][”’」』）]*\s*|(?<!\s)\s*\n\s*""")
"""White space is tried where a run of it begins only: from each of its characters would take quadratic time."""
_HEADS = ("cls.seq_relationship.", "sop_classifier.")
_HALF = 0.5


def has_sentence_head(model: Any) -> bool:
    """Whether the model tells if a sentence follows another."""
    return any(name.startswith(_HEADS) for name, _ in model.named_parameters())


def sentence_pairs(texts: Sequence[str], pairs: Sequence[str] | None) -> tuple[list[str], list[str | None]]:
    """First and second text of each record: the given pairs, else each text cut at the sentence end nearest its middle.

    A record without a second text (a blank pair, a single sentence) keeps None: it is trained on its masked tokens
    alone. Raises DataError when that is so for all of them.
    """
    if pairs is not None:
        first, second = list(texts), [pair if pair.strip() else None for pair in pairs]
    else:
        halves = [_halves(text) for text in texts]
        first, second = [half[0] for half in halves], [half[1] for half in halves]
    if not any(second):
        raise DataError(
            "next_sentence: no training record has a pair or holds two sentences; give a column pair, or leave "
            "next_sentence out"
        )
    return first, second


def _halves(text: str) -> tuple[str, str | None]:
    text = text.strip()
    ends = [match.end() for match in _SENTENCE_END.finditer(text) if match.end() < len(text)]
    if not ends:
        return text, None
    middle = min(ends, key=lambda end: abs(2 * end - len(text)))
    return text[:middle].rstrip(), text[middle:]


def next_sentence(masked: Objective, records: Sequence[Features], limit: int, seed: int) -> Objective:
    """`masked` and next-sentence prediction; `limit` cuts a longer second text. Not for differential privacy.

    Args:
        masked: of privacy.training.models.objective.masked_lm.
        records: all of them, `[CLS] first [SEP] second [SEP]` with segment ids, or one text alone.
        limit: most tokens of a record.
        seed: of the pairing.

    Raises DataError when the records do not hold two different second texts.
    """
    others = sorted({tuple(parts[1]) for record in records if (parts := _parts(record))})
    if len(others) < 2:
        raise DataError(
            f"next_sentence: the training records hold {len(others)} different second texts that fit into {limit} "
            "tokens; it takes two to tell them apart"
        )
    rng = np.random.default_rng([seed, 2])  # the order of records and the masks have their own

    def draw(first: list[int], second: list[int]) -> tuple[list[int], list[int]]:
        place = int(rng.integers(len(others)))
        other = others[place] if others[place] != tuple(second) else others[place - 1]
        return first, list(other[: max(1, limit - len(first) - 3)])

    return _with_pairs("masked_lm+next_sentence", masked, draw, rng)


def sentence_order(masked: Objective, records: Sequence[Features], seed: int) -> Objective:
    """`masked` and sentence-order prediction: nothing of a record enters the loss of another.

    Raises DataError when no record holds two texts.
    """
    if not any(map(_parts, records)):
        raise DataError("next_sentence: no training record holds two texts that fit into max_tokens; raise it")
    rng = np.random.default_rng([seed, 2])
    return _with_pairs("masked_lm+sentence_order", masked, lambda first, second: (second, first), rng)


Draw = Callable[[list[int], list[int]], tuple[list[int], list[int]]]
"""Tokens of a record's two texts -> those of two that do not follow each other."""


def _with_pairs(name: str, masked: Objective, draw: Draw, rng: np.random.Generator) -> Objective:
    def add_labels(record: Features) -> Features:
        parts = _parts(record)
        if parts is None:
            return {**masked.add_labels(record), "label": [IGNORED]}
        if rng.random() < _HALF:
            return {**masked.add_labels(record), "label": [FOLLOWS]}
        return {**masked.add_labels(_joined(record, *draw(*parts))), "label": [FOLLOWS_NOT]}

    return Objective(name, add_labels, _losses)


def _parts(record: Features) -> tuple[list[int], list[int]] | None:
    """Tokens of the two texts of `[CLS] first [SEP] second [SEP]`; None where there is no second one."""
    ids, segments = record["input_ids"], record["token_type_ids"]
    start = segments.index(1) if 1 in segments else len(ids)
    first, second = ids[1 : start - 1], ids[start:-1]
    return (first, second) if first and second else None


def _joined(record: Features, first: list[int], second: list[int]) -> Features:
    start, end = record["input_ids"][0], record["input_ids"][-1]
    ids = [start, *first, end, *second, end]
    segments = [0] * (len(first) + 2) + [1] * (len(second) + 1)
    return {**record, "input_ids": ids, "attention_mask": [1] * len(ids), "token_type_ids": segments}


def _losses(model: torch.nn.Module, batch: MicroBatch) -> torch.Tensor:
    """Masked tokens' mean, plus the pair's cross entropy where there is a pair."""
    output = model(**model_inputs(batch))
    logits = output["seq_relationship_logits"] if "seq_relationship_logits" in output else output["sop_logits"]
    told = functional.cross_entropy(logits.float(), batch["label"], reduction="none", ignore_index=IGNORED)
    return token_losses(output["prediction_logits"], batch["targets"]) + told
