"""What a model says of each record, read once: all signals are made of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import numpy as np

from harness.api.case import Case
from harness.api.requests.distributions import DistributionRequest, Distributions, MaskedDistributionRequest
from harness.api.scorer import ClassScores, Floats, Scorer, TextRequest
from harness.errors import NotApplicableError
from suites.framing import Ids, masked_frame, opening
from suites.memorization.canary_scores import TASKS, common_start, log_odds, task_of
from suites.memorization.membership.neighbours import neighbour
from suites.memorization.signals.calibrated import against_neighbours, against_zlib
from suites.memorization.signals.tokens import loss as mean_logprob
from suites.memorization.signals.tokens import min_k, min_k_plus_plus

TokensRequest = DistributionRequest | MaskedDistributionRequest


@dataclass(frozen=True, slots=True)
class Settings:
    """How texts are read by a language model."""

    limit: int
    """Tokens of a text that are read, special ones included."""
    masked_positions: int
    """Tokens of a text that a masked model is asked for."""
    share: float
    """Of the tokens, the least likely, that Min-K% takes."""
    neighbours: int = 0
    """Texts with a few tokens exchanged that each text is set against."""


@dataclass(frozen=True, slots=True)
class Scored:
    """One record's columns; `error` says why there are none."""

    columns: dict[str, Any] = field(default_factory=dict)
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """The part of a text that is asked for, and how."""

    request: TokensRequest
    tokens: Ids
    """Those that may be scored."""
    truncated: int
    """Tokens left out at the end."""
    text: str
    """What `tokens` spell."""
    start: int
    """Where they begin: in a masked model's text, or 0 of those that a causal one is asked for."""


def class_scores(scorer: Scorer, base: Scorer | None, cases: Sequence[Case]) -> list[Scored]:
    """Loss and log-odds of each record's own class, and what the base's loss was."""
    requests = [TextRequest(case.data["text"], case.data.get("pair")) for case in cases]
    answers = scorer.ask(requests)
    before: Sequence[ClassScores | None] = [None] * len(cases) if base is None else base.ask(requests)
    return [_class_scored(*each) for each in zip(cases, answers, before, strict=True)]


def token_scores(scorer: Scorer, base: Scorer | None, cases: Sequence[Case], settings: Settings) -> list[Scored]:
    """Signals of each text's tokens; one question to the model per text, and one per neighbour of it."""
    windows = [window(scorer, case, settings) for case in cases]
    asked = [(case, each) for case, each in zip(cases, windows, strict=True) if isinstance(each, Window)]
    requests = [each.request for _, each in asked]
    answers = iter(scorer.ask(requests))
    before = iter([None] * len(requests) if base is None else base.ask(requests))
    around = iter(_neighbours(scorer, asked, settings.neighbours))
    return [
        Scored(error=each)
        if isinstance(each, str)
        else _token_scored(each, next(answers), next(before), next(around), settings)
        for each in windows
    ]


def window(scorer: Scorer, case: Case, settings: Settings) -> Window | str:
    """The first tokens of a record's text, or why none can be scored."""
    cut = _masked if case.data["task"] == "masked_lm" else _causal
    return cut(scorer, case, settings)


def check_base(base: Scorer, scorer: Scorer, cases: Sequence[Case]) -> None:
    """Raises NotApplicableError where the base has another head or reads texts as other tokens."""
    task, info = task_of(scorer.info), scorer.info
    if TASKS[task] not in base.info.offers or base.info.labels != info.labels:
        raise NotApplicableError(
            "the base has another head than the checkpoint, so its scores cannot be compared; leave the role base out"
        )
    if task == "classification":
        return
    if any(base.encode(case.data["text"]) != scorer.encode(case.data["text"]) for case in cases):
        raise NotApplicableError(
            "the base reads texts as other tokens than the checkpoint, so its scores cannot be compared; leave the "
            "role base out, or name the checkpoint that training started from"
        )


def _class_scored(case: Case, scores: ClassScores, before: ClassScores | None) -> Scored:
    if scores.error is not None:
        return Scored(error=scores.error)
    if before is not None and before.error is not None:
        return Scored(error=f"the base: {before.error}")
    label = case.data["label"]
    found = {
        "label": label,
        "loss": _class_loss(scores.logits, label),
        "log_odds": log_odds(scores.logits, label),
        "correct": scores.label == label,
        "truncated": scores.truncated,
    }
    return Scored(found | _calibrated(found["loss"], None if before is None else _class_loss(before.logits, label)))


def _neighbours(scorer: Scorer, asked: Sequence[tuple[Case, Window]], count: int) -> list[Floats | str]:
    """Mean log-probability of a token of each neighbour [count] of each text, or why there is none."""
    requests = [
        neighbour(each.request, (each.start, each.start + len(each.tokens)), Random(f"{case.id} {number}"))
        for case, each in asked
        for number in range(count)
    ]
    answers = scorer.ask(requests)
    found: list[Floats | str] = []
    for place in range(len(asked)):
        own = answers[place * count : (place + 1) * count]
        why = next((each.error for each in own if each.error is not None), None)
        found.append(why or np.array([mean_logprob(each.logprobs) for each in own]))
    return found


def _token_scored(
    asked: Window, answer: Distributions, before: Distributions | None, around: Floats | str, settings: Settings
) -> Scored:
    if answer.error is not None or isinstance(around, str):
        return Scored(error=answer.error or f"a neighbour: {around}")
    if before is not None and before.error is not None:
        return Scored(error=f"the base: {before.error}")
    logprobs = answer.logprobs
    if not np.isfinite(logprobs).all():
        return Scored(error="a token has no finite log-probability")
    found = token_signals(answer, asked.text, settings.share)
    score = -found["loss"]
    found |= {"scored": len(logprobs), "truncated": asked.truncated}
    if len(around):
        found["neighbours"] = against_neighbours(score, around)
    return Scored(found | _calibrated(found["loss"], None if before is None else -mean_logprob(before.logprobs)))


def token_signals(answer: Distributions, text: str, share: float) -> dict[str, float]:
    """What one reading of a text's tokens tells, which are finite; `share` of them is what Min-K% takes."""
    score = mean_logprob(answer.logprobs)
    return {
        "loss": max(0.0, -score),
        "zlib": against_zlib(score, text),
        "min_k": min_k(answer.logprobs, share),
        "min_k_pp": min_k_plus_plus(answer.logprobs, answer.means, answer.variances, share),
    }


def _calibrated(loss: float, base_loss: float | None) -> dict[str, float]:
    return {} if base_loss is None else {"base_loss": base_loss, "calibrated": base_loss - loss}


def _causal(scorer: Scorer, case: Case, settings: Settings) -> Window | str:
    """After a prompt only the completion is scored: nothing else was learnt."""
    text, pair = case.data["text"], case.data.get("pair")
    lead, tokens = opening(scorer, text if pair is None else f"{text}{pair}")
    start = 0 if pair is None else common_start(tokens, opening(scorer, text)[1])
    if not lead and start == 0:  # the first token has nothing before it
        start = 1
    kept = tokens[: settings.limit - len(lead)]
    if start >= len(kept):
        return f"has no token to score among the first {settings.limit}"
    truncated, target = len(tokens) - len(kept), kept[start:]
    spelt = scorer.decode(target) if truncated or pair is not None else text
    return Window(DistributionRequest((*lead, *kept[:start]), target), target, truncated, spelt, 0)


def _masked(scorer: Scorer, case: Case, settings: Settings) -> Window | str:
    """Positions are drawn by the case's id, so that they are the same in every audit of the record."""
    text, pair = case.data["text"], case.data.get("pair")
    framed = masked_frame(scorer, text if pair is None else f"{text} {pair}")
    kept = framed.tokens[: max(0, settings.limit - len(framed.before) - len(framed.after))]
    if not kept:
        return f"has no token to score among the first {settings.limit}"
    drawn = sorted(Random(case.id).sample(range(len(kept)), min(settings.masked_positions, len(kept))))
    whole, positions = framed.before + kept + framed.after, tuple(len(framed.before) + place for place in drawn)
    truncated = len(framed.tokens) - len(kept)
    spelt = scorer.decode(kept) if truncated else framed.text
    return Window(MaskedDistributionRequest(whole, positions), kept, truncated, spelt, len(framed.before))


def _class_loss(logits: Floats, label: int) -> float:
    """-log softmax(logits)[label], without overflow; never below zero."""
    return max(0.0, float(np.logaddexp.reduce(logits) - logits[label]))
