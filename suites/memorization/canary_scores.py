"""How much a checkpoint prefers a canary as it was planted: the signal that an audit of epsilon guesses by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.api.needs import Need
from harness.api.scorer import Floats, MaskedRequest, Request, Scorer, TextRequest, TokenRequest
from harness.checkpoint import CheckpointInfo
from harness.errors import NotApplicableError
from privacy.canaries.canary import Canary
from suites.framing import Ids, masked_frame, opening
from suites.memorization.signals.lira import confidence

TASKS = {
    "classification": Need.SEQUENCE_CLASSIFIER,
    "causal_lm": Need.CAUSAL_LM,
    "masked_lm": Need.MASKED_LM,
}


@dataclass(frozen=True, slots=True)
class Score:
    """Larger where the model knows the canary; None where `error` says why there is none."""

    value: float | None
    error: str | None = None


def task_of(checkpoint: CheckpointInfo) -> str:
    """The task whose head it was trained with and still has. Raises NotApplicableError where it has another head."""
    manifest = checkpoint.manifest
    if manifest is None:
        raise NotApplicableError("needs a training manifest, which says what it was trained on")
    if manifest.task not in TASKS:
        raise NotApplicableError(f"was trained as {manifest.task[:40]!r}, which is no task of Assay's")
    if TASKS[manifest.task] not in checkpoint.offers:
        raise NotApplicableError(f"was trained as {manifest.task}, and that head is not there any more")
    return manifest.task


def canary_scores(scorer: Scorer, task: str, canaries: Sequence[Canary], labels: Sequence[str]) -> list[Score]:
    """One per canary.

    Classifiers: log odds of the class it was planted with (Carlini et al. 2022), which is no probability squeezed to 1.
    Language models: mean log-probability of the tokens that were drawn at random (masked ones: each masked alone), or
    of the whole text where none were.
    """
    if task == "classification":
        return _class_scores(scorer, canaries, labels)
    requests = [_drawn_tokens(scorer, task, canary) for canary in canaries]
    answers = iter(scorer.ask([request for request in requests if not isinstance(request, str)]))
    found = []
    for request in requests:
        if isinstance(request, str):
            found.append(Score(None, request))
            continue
        answer = next(answers)
        found.append(Score(None, answer.error) if answer.error else Score(float(np.mean(answer.logprobs))))
    return found


def less(score: Score, base: Score) -> Score:
    """What training added to it."""
    if score.value is None or base.value is None:
        return Score(None, score.error or f"the base: {base.error}")
    return Score(score.value - base.value)


def log_odds(logits: Floats, label: int) -> float:
    """Log p(label) - log(1 - p(label)), from the logits [labels], without overflow."""
    return float(confidence(logits[None], [label])[0])


def _class_scores(scorer: Scorer, canaries: Sequence[Canary], labels: Sequence[str]) -> list[Score]:
    answers = scorer.ask([TextRequest(canary.text, canary.pair) for canary in canaries])
    index = {name: number for number, name in enumerate(labels)}
    return [
        Score(None, answer.error) if answer.error else Score(log_odds(answer.logits, index[str(canary.label)]))
        for canary, answer in zip(canaries, answers, strict=True)
    ]


def _drawn_tokens(scorer: Scorer, task: str, canary: Canary) -> Request[Any] | str:
    """What asks for the tokens that were drawn, or why that cannot be asked."""
    text = canary.text if canary.pair is None else f"{canary.text}{canary.pair}"
    known = text[: len(text) - len(canary.secret or text)]
    if task == "masked_lm":
        framed = masked_frame(scorer, text)
        start = common_start(framed.tokens, masked_frame(scorer, known).tokens)
        positions = range(len(framed.before) + start, len(framed.before) + len(framed.tokens))
        whole, asked = framed.whole, tuple(positions)
        if not asked or len(whole) > scorer.max_tokens:
            return _cannot(len(whole), scorer.max_tokens)
        return MaskedRequest(whole, asked)
    lead, tokens = opening(scorer, text)
    start = common_start(tokens, opening(scorer, known)[1])
    if not lead and start == 0:  # the first token has nothing before it
        start = 1
    if start >= len(tokens) or len(lead) + len(tokens) > scorer.max_tokens:
        return _cannot(len(lead) + len(tokens), scorer.max_tokens)
    return TokenRequest((*lead, *tokens[:start]), tokens[start:])


def _cannot(tokens: int, most: int) -> str:
    return f"the model reads {most} tokens, the canary has {tokens}" if tokens > most else "has no token to score"


def common_start(first: Ids, second: Ids) -> int:
    """Tokens at the start that both have: where the drawn part begins, though it may grow together with the rest."""
    pairs = zip(first, second, strict=False)
    return next((at for at, (one, two) in enumerate(pairs) if one != two), min(len(first), len(second)))
