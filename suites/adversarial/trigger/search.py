"""The search for one token sequence that, put before every text of a class, moves the model to another class.

Wallace et al. 2019 (arXiv:1908.07125): start from a plain word repeated; for each place of the trigger take the tokens
that lower the loss most by its gradient averaged over the texts (HotFlip's first-order estimate), read all texts with
each of them, keep the best `beam`, go on with the next place; again while that helps. Where the model gives no
gradients, the tokens to try are drawn at random from those of the search texts instead. Only tokens that can be written
as text are tried (`writable`). Losses are compared after rounding, and among equals the first tried wins, so that the
same search finds the same trigger.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import numpy as np

from harness.api.scorer import (
    ClassScores,
    Floats,
    Floats32,
    GradientRequest,
    InputRequest,
    Loss,
    Scorer,
    TextRequest,
)
from suites.adversarial.victims.writable import text_of

Side = Literal["first", "second"]
Tokens = tuple[int, ...]
Proposer = Callable[[int], list[int]]
"""A place in the trigger to the tokens to try there, best first."""

_DECIMALS = 6
"""Losses that agree so far are equal: the rest depends on how the batches were formed."""
_FIRST_WORDS = ("the", "a", ".")
_LOOKED_AT = 2000
"""Most tokens looked at for each place; nearly all cannot be written only in odd tokenizers."""


class SearchError(Exception):
    """No trigger can be searched, and why."""


@dataclass(frozen=True, slots=True)
class Goal:
    """From class `source` to class `target`, or to any other where it is None."""

    source: int
    target: int | None = None

    def losses(self, logits: Floats) -> Floats:
        """What the search lowers, [texts], from logits [texts, classes]: -log p(target) or -log(1 - p(source))."""
        every = np.logaddexp.reduce(logits, axis=1)
        if self.target is not None:
            return np.asarray(every - logits[:, self.target])
        return np.asarray(every - np.logaddexp.reduce(np.delete(logits, self.source, axis=1), axis=1))

    def request(self, read: InputRequest, places: Tokens) -> GradientRequest:
        """The gradient of the loss at the places."""
        if self.target is not None:
            return GradientRequest(read, self.target, Loss.OF_CLASS, places)
        return GradientRequest(read, self.source, Loss.OF_OTHERS, places)

    def reached(self, predicted: int) -> bool:
        """Whether a text of the source class was moved."""
        return predicted != self.source if self.target is None else predicted == self.target


@dataclass(frozen=True, slots=True)
class Settings:
    """How much is searched; `reads` bounds the texts the model reads, a gradient counting as one."""

    tokens: int
    candidates: int
    beam: int
    iterations: int
    reads: int
    seed: int
    side: Side = "first"
    gradient: bool = True


@dataclass(frozen=True, slots=True)
class Trigger:
    """What was found, on how many texts, at what cost; `success` is the share of these texts that it moves."""

    tokens: Tokens
    text: str
    start_loss: float
    loss: float
    success: float
    texts: int
    reads: int
    exhausted: bool
    pool: Sequence[int]
    """The tokens the search chose from."""


def to_keep(found: Trigger | str) -> dict[str, Any]:
    """A trigger, or why there is none, as JSON; a pool of all tokens by their number."""
    if isinstance(found, str):
        return {"why_none": found}
    values = {each.name: getattr(found, each.name) for each in fields(Trigger)}
    pool = found.pool
    return {**values, "tokens": list(found.tokens), "pool": len(pool) if isinstance(pool, range) else list(pool)}


def read_back(kept: Mapping[str, Any]) -> Trigger | str:
    """What `to_keep` was given."""
    if "why_none" in kept:
        return str(kept["why_none"])
    pool = kept["pool"]
    return Trigger(**{**kept, "tokens": tuple(kept["tokens"]), "pool": range(pool) if isinstance(pool, int) else pool})


@dataclass(frozen=True, slots=True)
class Slotted:
    """A text as the model reads it behind a trigger, whose tokens begin at `start`."""

    read: InputRequest
    start: int

    def holding(self, tokens: Tokens) -> InputRequest:
        """With other tokens for the trigger, as many."""
        read, end = self.read.tokens, self.start + len(tokens)
        return replace(self.read, tokens=(*read[: self.start], *tokens, *read[end:]))


@dataclass(frozen=True, slots=True)
class _Scored:
    tokens: Tokens
    loss: float
    success: float


def triggered(request: TextRequest, trigger: str, side: Side) -> TextRequest:
    """The text (or the pair's second) with the trigger before it."""
    if side == "second":
        return TextRequest(request.text, f"{trigger} {request.pair}")
    return TextRequest(f"{trigger} {request.text}", request.pair)


def find_trigger(
    scorer: Scorer, goal: Goal, settings: Settings, texts: Sequence[TextRequest], others: Sequence[TextRequest]
) -> Trigger:
    """The best trigger for the texts of the source class; `others` only lend their words where there is no gradient.

    Raises SearchError where there is nothing to search on, or nothing to search with.
    """
    known = scorer.ask(texts)
    usable = [(text, answer) for text, answer in zip(texts, known, strict=True) if answer.error is None]
    if not usable:
        raise SearchError(_why_none(known))
    right = [text for text, answer in usable if answer.label == goal.source] or [text for text, _ in usable]
    table = scorer.input_embeddings() if settings.gradient else None
    pool = range(len(table)) if table is not None else _tokens_of(scorer, [*texts, *others])
    start = _plain_trigger(scorer, settings.tokens) or random_trigger(
        scorer, pool, settings.tokens, np.random.default_rng(settings.seed)
    )
    if start is None:
        raise SearchError(f"no {settings.tokens} tokens of the model can be written as text and read back")
    search = _Search(scorer, goal, settings, right, start, pool, table)
    search.reads += len(texts)
    return search.run()


def random_trigger(scorer: Scorer, pool: Sequence[int], length: int, rng: np.random.Generator) -> Tokens | None:
    """Tokens of the pool at random, one after the other such that they can be written; None where none is found."""
    tokens: Tokens = ()
    for draw in rng.integers(0, max(1, len(pool)), size=_LOOKED_AT if pool else 0):
        longer = (*tokens, int(pool[int(draw)]))
        if text_of(scorer, longer) is not None:
            tokens = longer
        if len(tokens) == length:
            return tokens
    return None


class _Search:
    def __init__(
        self,
        scorer: Scorer,
        goal: Goal,
        settings: Settings,
        texts: Sequence[TextRequest],
        start: Tokens,
        pool: Sequence[int],
        table: Floats32 | None,
    ) -> None:
        self._scorer = scorer
        self._goal = goal
        self._settings = settings
        self._start = start
        self._pool = pool
        self._table = table
        self._slots = slots(scorer, texts, start, settings.side)
        self._seen: set[Tokens] = set()
        self._texts: dict[Tokens, str | None] = {}
        self._exhausted = False
        self.reads = 0

    def run(self) -> Trigger:
        first = next(iter(self._score([self._start], free=True)))
        if not np.isfinite(first.loss):
            raise SearchError("the model gives no usable answer to its search texts behind a trigger")
        best = first
        for iteration in range(self._settings.iterations):
            self._exhausted |= self.reads + 2 * len(self._slots) > self._settings.reads  # one gradient, one candidate
            if self._exhausted:
                break
            better = self._sweep(best, self._proposer(best.tokens, iteration))
            stuck = better.tokens == best.tokens and self._table is not None  # the next gradient would be the same
            best = better
            if stuck:
                break
        text = self._text(best.tokens)
        assert text is not None, "only writable triggers are scored"
        return Trigger(
            tokens=best.tokens,
            text=text,
            start_loss=first.loss,
            loss=best.loss,
            success=best.success,
            texts=len(self._slots),
            reads=self.reads,
            exhausted=self._exhausted,
            pool=self._pool,
        )

    def _sweep(self, best: _Scored, propose: Proposer) -> _Scored:
        """The best after each place in turn took its candidates in each of the beam's triggers."""
        beam = [best]
        for place in range(len(best.tokens)):
            options = propose(place)
            new = [(*one.tokens[:place], token, *one.tokens[place + 1 :]) for one in beam for token in options]
            writable = [tokens for tokens in dict.fromkeys(new) if self._is_new(tokens)]
            beam += self._score(writable)
            beam = sorted(beam, key=lambda one: round(one.loss, _DECIMALS))[: self._settings.beam]
            if self._exhausted:
                break
        return beam[0]

    def _is_new(self, tokens: Tokens) -> bool:
        return tokens not in self._seen and self._text(tokens) is not None

    def _text(self, tokens: Tokens) -> str | None:
        if tokens not in self._texts:
            self._texts[tokens] = text_of(self._scorer, tokens)
        return self._texts[tokens]

    def _score(self, triggers: Sequence[Tokens], *, free: bool = False) -> list[_Scored]:
        """Mean loss over the texts behind each trigger; an unusable answer makes it infinite. Stops at the budget."""
        each = len(self._slots)
        affordable = len(triggers) if free else max(0, self._settings.reads - self.reads) // each
        self._exhausted |= affordable < len(triggers)
        chosen = triggers[:affordable]
        self._seen.update(chosen)
        self.reads += each * len(chosen)
        answers = self._scorer.ask([slot.holding(tokens) for tokens in chosen for slot in self._slots])
        return [
            self._scored(tokens, answers[number * each : (number + 1) * each]) for number, tokens in enumerate(chosen)
        ]

    def _scored(self, tokens: Tokens, answers: Sequence[ClassScores]) -> _Scored:
        if any(answer.error is not None for answer in answers):
            return _Scored(tokens, float("inf"), 0.0)
        losses = self._goal.losses(np.stack([answer.logits for answer in answers]))
        return _Scored(tokens, float(losses.mean()), float(np.mean([self._goal.reached(a.label) for a in answers])))

    def _proposer(self, tokens: Tokens, iteration: int) -> Proposer:
        if self._table is None:
            return self._sampled(tokens, iteration)
        return self._by_gradient(tokens, self._table)

    def _by_gradient(self, tokens: Tokens, table: Floats32) -> Proposer:
        """Tokens by the first-order estimate of the loss with them, from one gradient for all places."""
        gradient = self._mean_gradient(tokens)
        order = np.argsort(table @ gradient.T, axis=0, kind="stable")

        def propose(place: int) -> list[int]:
            return self._writable_at(tokens, place, (int(token) for token in order[:_LOOKED_AT, place]))

        return propose

    def _sampled(self, tokens: Tokens, iteration: int) -> Proposer:
        """Tokens of the pool in a random order of the iteration and the place."""

        def propose(place: int) -> list[int]:
            order = np.random.default_rng((self._settings.seed, iteration, place)).permutation(len(self._pool))
            return self._writable_at(tokens, place, (int(self._pool[index]) for index in order[:_LOOKED_AT]))

        return propose

    def _writable_at(self, tokens: Tokens, place: int, ranked: Iterator[int]) -> list[int]:
        """The first `candidates` of the ranked tokens that make another trigger that can be written."""
        found: list[int] = []
        for token in ranked:
            if len(found) == self._settings.candidates:
                break
            other = (*tokens[:place], token, *tokens[place + 1 :])
            if token != tokens[place] and self._text(other) is not None:
                found.append(token)
        return found

    def _mean_gradient(self, tokens: Tokens) -> Floats32:
        """Of the loss by the trigger's embeddings, over the texts that give one, [places, width]."""
        requests = [
            self._goal.request(slot.holding(tokens), tuple(range(slot.start, slot.start + len(tokens))))
            for slot in self._slots
        ]
        self.reads += len(requests)
        usable = [answer.gradient for answer in self._scorer.ask(requests) if answer.error is None]
        if not usable:
            raise SearchError("the model gives no usable gradient for its search texts")
        return np.asarray(np.mean(usable, axis=0), dtype=np.float32)


def slots(scorer: Scorer, texts: Sequence[TextRequest], trigger: Tokens, side: Side) -> list[Slotted]:
    """Each text as read behind the trigger. Raises SearchError where the model does not read the whole trigger."""
    words = text_of(scorer, trigger)
    assert words is not None, "a trigger can be written"
    inputs = scorer.inputs_of([triggered(text, words, side) for text in texts])
    return [Slotted(read, _place_of(scorer, read.tokens, trigger, side)) for read in inputs]


def _place_of(scorer: Scorer, read: Tokens, trigger: Tokens, side: Side) -> int:
    """Where the trigger's tokens begin: at the start of the first text, or at that of the second, the last such place.

    A text starts behind special tokens, or at the very beginning; where nothing separates the second text from the
    first, the trigger's last appearance is taken.
    """
    length = len(trigger)
    places = [start for start in range(len(read) - length + 1) if read[start : start + length] == trigger]
    special = scorer.special_positions(read)
    at_start = [start for start in places if start == 0 or special[start - 1]]
    if side == "second":
        at_start = [start for start in at_start if any(not mark for mark in special[:start])] or places[-1:]
    if not at_start:
        raise SearchError(f"the model does not read a trigger of {length} tokens before its texts")
    return at_start[0] if side == "first" else at_start[-1]


def _plain_trigger(scorer: Scorer, length: int) -> Tokens | None:
    """A plain word as often as its tokens fill the trigger."""
    for word in _FIRST_WORDS:
        tokens = scorer.encode(" ".join([word] * length), special=False)
        if len(tokens) == length and text_of(scorer, tokens) is not None:
            return tokens
    return None


def _tokens_of(scorer: Scorer, texts: Sequence[TextRequest]) -> list[int]:
    """The tokens the texts are made of, sorted."""
    parts = [part for text in texts for part in (text.text, text.pair) if part is not None]
    return sorted({token for part in dict.fromkeys(parts) for token in scorer.encode(part, special=False)})


def _why_none(answers: Sequence[ClassScores]) -> str:
    if not answers:
        return "there is no text of its class to search on"
    return f"no text of its class to search on can be classified: {answers[0].error}"
