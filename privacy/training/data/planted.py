"""Plants canaries among the records of a training."""

from __future__ import annotations

import re
import secrets
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from random import SystemRandom
from typing import Any

import pandas as pd

from harness.api.requests.sampling import SampleRequest
from harness.checkpoint import CheckpointInfo, staged_bytes
from harness.checkpoint.quiet import quiet
from harness.checkpoint.survey import survey, tokenizer_of
from harness.data.datasets import Dataset, frame_digest
from harness.errors import UsageError
from privacy.canaries.canary import Canaries, Coins
from privacy.canaries.make import Surroundings, make_canaries
from privacy.canaries.store import drawn
from privacy.training.data.load import Planted, TrainingData
from privacy.training.settings.spec import TrainSpec

_WORD = re.compile(r"[^\W\d_]{3,}")
_SHORTEST = 3
"""Letters of a word: shorter pieces are parts of words in most vocabularies."""
_STARTS = ("Ġ", "▁")
"""What byte-level BPE and SentencePiece write before a token that begins a word."""


def plant(spec: TrainSpec, base: CheckpointInfo | None, data: TrainingData, *, keep: bool) -> TrainingData:
    """`data` with the canaries of `spec` whose coin says so; those of the unfinished run where there is one.

    `keep`: write down canaries and coins that are new. Raises UsageError or DataError for what cannot be planted.
    """
    asked = spec.canaries
    if asked is None:
        return data
    if spec.next_sentence:
        raise UsageError("canaries: the next-sentence objective reads pairs that canaries have not; leave either out")
    around = Surroundings(
        task=spec.task,
        classes=data.label_names,
        paired=data.pairs is not None,
        completions=spec.completions != "none",
        taken=_taken(data),
        vocabulary=lambda: _vocabulary(base, data),
        write=lambda n, tokens, temperature: _written(base, n, tokens, temperature),
    )
    canaries, coins = drawn(spec.output, spec.digest(), lambda: make_canaries(asked, around, SystemRandom()), keep=keep)
    return with_planted(data, canaries, coins)


def with_planted(data: TrainingData, canaries: Canaries, coins: Coins) -> TrainingData:
    """Each planted canary stands behind the records as often as it is repeated, each time a privacy unit of its own."""
    chosen = [canary for canary, yes in zip(canaries.canaries, coins.planted, strict=True) if yes]
    rows = [canary for canary in chosen for _ in range(canary.repetitions)]
    listed = data.members
    values: dict[str, list[Any]] = {"text": [row.text for row in rows]}
    if "pair" in listed.frame.columns:
        values["pair"] = [row.pair for row in rows]
    if "label" in listed.frame.columns:
        values["label"] = [row.label for row in rows]
    extra = pd.DataFrame({name: pd.Series(values[name], dtype="str") for name in listed.frame.columns})
    frame = pd.concat([listed.frame, extra], ignore_index=True)
    units = tuple(f"canary {number}" for number in range(len(rows)))
    return replace(
        data,
        members=Dataset(frame, listed.source, frame_digest(frame), listed.seen),
        planted=Planted(listed, tuple(data.label_names.index(row.label) for row in rows if row.label), len(rows)),
        units=None if data.units is None else (*data.units, *units),
        units_as_written=None if data.units_as_written is None else (*data.units_as_written, *units),
    )


def _taken(data: TrainingData) -> set[str]:
    held_out = [] if data.non_members is None else [str(text) for text in data.non_members.frame["text"]]
    return {*data.texts, *held_out}


def _vocabulary(base: CheckpointInfo | None, data: TrainingData) -> Sequence[str]:
    """Whole words: of the base's tokenizer, by falling use; for a fresh model those of its corpus."""
    if base is None:
        counts = Counter(word for text in data.corpus for word in _WORD.findall(text))
        return [word for word, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]
    staged = staged_bytes(base)
    with quiet(), staged.named():
        tokenizer = tokenizer_of(survey(staged))
    tokens = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    special = set(tokenizer.all_special_tokens)
    marked = any(token.startswith(_STARTS) for token, _ in tokens)
    begins = [token[1:] if marked else token for token, _ in tokens if token not in special and _begins(token, marked)]
    return [word for word in begins if len(word) >= _SHORTEST and word.isalpha() and word.isascii()]


def _begins(token: str, marked: bool) -> bool:
    return token.startswith(_STARTS) if marked else not token.startswith("##")


def _written(base: CheckpointInfo | None, n: int, tokens: int, temperature: float) -> Sequence[str]:
    """Texts that the base writes from nothing."""
    if base is None:
        raise UsageError("canaries: model-written: a fresh model writes nothing yet; use random-tokens")
    from harness.checkpoint import load_checkpoint
    from harness.scorer.hf import HFScorer

    loaded = load_checkpoint(base)
    start = loaded.tokenizer.bos_token_id
    if start is None:
        start = loaded.tokenizer.eos_token_id
    if start is None:
        raise UsageError("canaries: model-written: the base names no token that texts begin with; use random-tokens")
    asked = SampleRequest((int(start),), tokens, seed=secrets.randbits(32), samples=n, temperature=temperature)
    (answer,) = HFScorer(loaded).ask([asked])
    if answer.error is not None:
        raise UsageError(f"canaries: model-written: the base cannot write ({answer.error})")
    return [sample.text for sample in answer.samples]
