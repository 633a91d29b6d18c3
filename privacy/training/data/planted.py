"""Plants canaries among the records of a training."""

from __future__ import annotations

import hashlib
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


def plant(spec: TrainSpec, base: CheckpointInfo | None, data: TrainingData, limit: int, *, keep: bool) -> TrainingData:
    """`data` with the canaries of `spec` whose coin says so; those of the unfinished run where there is one.

    `limit`: tokens of a record that are read. `keep`: write down canaries and coins that are new. Raises UsageError or
    DataError for what cannot be planted.
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
        taken=_taken(data, completions=spec.completions != "none"),
        vocabulary=lambda: _vocabulary(base, data),
        write=lambda n, tokens, temperature: _written(base, n, tokens, temperature),
    )

    def make() -> Canaries:
        made = make_canaries(asked, around, SystemRandom())
        if base is not None:
            check_read(made, _tokenizer(base), limit)
        return made

    canaries, coins = drawn(spec.output, spec.digest(), make, keep=keep)
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
    # a name that no unit of the data has, nor a canary of another training: the two would count as one
    units = tuple(hashlib.sha256(f"canary {coins.salt} {number}".encode()).hexdigest() for number in range(len(rows)))
    return replace(
        data,
        members=Dataset(frame, listed.source, frame_digest(frame), listed.seen),
        planted=Planted(listed, tuple(data.label_names.index(row.label) for row in rows if row.label), len(rows)),
        units=None if data.units is None else (*data.units, *units),
        units_as_written=None if data.units_as_written is None else (*data.units_as_written, *units),
    )


def _taken(data: TrainingData, *, completions: bool) -> set[str | tuple[str, str | None]]:
    frames = [each.frame for each in (data.members, data.non_members) if each is not None]
    if completions:
        return {(str(a), str(b)) for frame in frames for a, b in zip(frame["text"], frame["pair"], strict=True)}
    return {str(text) for frame in frames for text in frame["text"]}


def check_read(canaries: Canaries, tokenizer: Any, limit: int) -> None:
    """Raises UsageError where what was drawn, which ends a text, is cut off: nothing would be planted, or found."""
    drawn_ones = [canary for canary in canaries.canaries if canary.secret is not None]
    if not drawn_ones:
        return
    texts, pairs = [canary.text for canary in drawn_ones], [canary.pair for canary in drawn_ones]
    lengths = [
        len(ids) for ids in tokenizer(texts, pairs if pairs[0] is not None else None, verbose=False)["input_ids"]
    ]
    over = sum(length > limit for length in lengths)
    if over:
        raise UsageError(
            f"canaries: {over} of {len(lengths)} have more than the {limit} tokens of a record that are read (the "
            f"longest {max(lengths)}), so what was drawn would be cut off; ask for shorter ones, or raise max_tokens"
        )


def _tokenizer(base: CheckpointInfo) -> Any:
    staged = staged_bytes(base)
    with quiet(), staged.named():
        return tokenizer_of(survey(staged))


def _vocabulary(base: CheckpointInfo | None, data: TrainingData) -> Sequence[str]:
    """Whole words: of the base's tokenizer, by falling use; for a fresh model those of its corpus."""
    if base is None:
        counts = Counter(word for text in data.corpus for word in _WORD.findall(text))
        return [word for word, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]
    tokenizer = _tokenizer(base)
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
