"""adversarial/universal_trigger: can a few fixed words before any text of a class turn the model's answer.

Wallace et al. 2019, with these differences:

- the search minimises -log(1 - p(true class)), or -log p(target) where a target is named, over one fixed set of texts
  that the model gets right; the paper goes through many batches;
- every trigger that is tried is one that survives being written as text and read again, and every reported number is of
  the text that an attacker would send;
- where the model gives no gradients the tokens to try are drawn at random from those of the search texts ('black box'
  in the rows): a weaker search, which the row says;
- beside it stands a control: random tokens, as many, drawn anew for every held-out text from the same pool.

A row is one held-out text. The trigger of each class is searched before any text is read (`prepare`) and kept on disk,
so that no case pays for it and a resumed audit goes on with the very same one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from pandera.typing import Series
from pydantic import Field

from harness.api.case import Case, content_id, make_cases
from harness.api.columns import column, list_column
from harness.api.models import Models
from harness.api.needs import Need, any_of
from harness.api.probe import About, Input, Plan, Probe, ProbeParams, ProbeRow, RowDict, error_row, ok_row
from harness.api.scorer import ClassScores, Scorer, TextRequest
from harness.data.schemas import LabelledTexts
from harness.errors import DataError, UsageError
from suites.adversarial.cases import case_seed
from suites.adversarial.trigger.metrics import trigger_metrics
from suites.adversarial.trigger.search import (
    Goal,
    SearchError,
    Settings,
    Side,
    Trigger,
    find_trigger,
    random_trigger,
    read_back,
    to_keep,
    triggered,
)
from suites.adversarial.victims.writable import text_of
from suites.labels import class_of, true_classes
from suites.sources import IMDB_HELD_OUT
from suites.words import first_words

EXAMPLES = IMDB_HELD_OUT.model_copy(update={"start": 42_200, "stop": 42_500})


class UniversalTriggerParams(ProbeParams):
    """Settings. How many held-out texts are used is the spec's `limit`."""

    trigger_tokens: int = Field(default=3, ge=1, le=20, description="tokens of a trigger")
    target: str | None = Field(
        default=None, description="class to move texts to (its own texts are left out); None any other than their own"
    )
    search: Literal["auto", "gradient", "black_box"] = Field(
        default="auto", description="how tokens to try are chosen; auto is by gradient where the model gives any"
    )
    search_texts: int = Field(
        default=32,
        ge=1,
        description="most texts per class to search on, at most half of the class; the rest is held out",
    )
    search_words: int | None = Field(
        default=64, ge=1, description="the search reads only the first words of its texts; None all"
    )
    candidates: int = Field(default=16, ge=1, description="tokens tried at each place of the trigger")
    beam: int = Field(default=1, ge=1, description="triggers kept from place to place")
    iterations: int = Field(default=4, ge=1, description="most times the search goes over all places")
    max_reads: int = Field(
        default=10_000,
        ge=1,
        description="most texts the model reads in the search of one class, after a first look at them all",
    )
    side: Side = Field(default="first", description="which text of a pair the trigger stands before")
    max_words: int | None = Field(default=None, ge=1, description="use only the first words of each text; None all")
    seed: int = Field(default=0, description="seeds which texts are searched on, black-box draws, and the controls")


class UniversalTriggerRow(ProbeRow):
    """One row per held-out text.

    trigger (its ids in trigger_tokens) is the one found for the text's class, control the random one;
    perturbed_text (or _pair) is the text with the trigger before it. Scores are the true class's probabilities. target
    is the class to move to, empty for any. search says how tokens were chosen, why_black_box why not by gradient where
    that was not the user's choice; search_success is the share of the search_texts that the trigger moves, search_loss
    their mean loss with it, search_start_loss with the plain words the search begins with. search_reads counts the
    texts read by the search, a gradient as one; search_exhausted says that it ended for want of reads.
    """

    text: Series[str] = column("the held-out text")
    pair: Series[str] = column("its second text, of pairs", nullable=True)
    label: Series[int] = column("true class, by index", ge=0)
    label_name: Series[str] = column("its name")
    target: Series[pd.Int64Dtype] = column("class to move to, by index; empty: any other", ge=0, nullable=True)
    predicted: Series[int] = column("class predicted of the text as it is, by index", ge=0)
    score: Series[float] = column("probability of the true class", ge=0, le=1 + 1e-9)
    perturbed_text: Series[str] = column("the text with the trigger before it")
    perturbed_pair: Series[str] = column("its second text, of pairs", nullable=True)
    perturbed_predicted: Series[int] = column("class predicted with the trigger, by index", ge=0)
    perturbed_score: Series[float] = column("probability of the true class with the trigger", ge=0, le=1 + 1e-9)
    trigger: Series[str] = column("the trigger found for the text's class")
    trigger_tokens: Series[object] = list_column("its tokens, by id", of="int64")
    control: Series[str] = column("random tokens, as many, drawn for this text")
    control_predicted: Series[int] = column("class predicted with the control, by index", ge=0)
    control_score: Series[float] = column("probability of the true class with the control", ge=0, le=1 + 1e-9)
    search: Series[str] = column("how tokens to try were chosen", isin=["gradient", "black box"])
    why_black_box: Series[str] = column("why not by gradient, where it was not asked for", nullable=True)
    search_texts: Series[int] = column("texts the trigger was searched on", "texts", ge=1)
    search_success: Series[float] = column("share of these that it moves", "rate", ge=0, le=1)
    search_start_loss: Series[float] = column("mean loss on these at the start of the search", "nats")
    search_loss: Series[float] = column("mean loss on these with the trigger", "nats")
    search_reads: Series[int] = column("texts the search read, a gradient as one", "texts", ge=1)
    search_exhausted: Series[bool] = column("whether the search ended for want of reads")
    words_cut: Series[int] = column("words left out at the end", "words", ge=0)
    truncated: Series[int] = column("tokens of the text that the model cannot read", "tokens", ge=0)


class UniversalTrigger(Probe[UniversalTriggerParams]):
    """One short sequence of words for a whole class of texts, searched on some, measured on others."""

    name = "adversarial/universal_trigger"
    about = About(
        summary="Whether a few fixed words before any text of a class change the model's answer, beside random words",
        paper="Wallace et al. 2019, Universal Adversarial Triggers for Attacking and Analyzing NLP (arXiv:1908.07125); "
        "candidates by HotFlip's estimate (Ebrahimi et al. 2018, arXiv:1712.06751), only such as survive as text",
        cannot_tell="that no trigger exists: another start, more candidates, tokens or texts may find a better one; "
        "whether the words would be noticed, as they rarely make sense (a filter on fluency may catch them); whether "
        "they carry over to other models or kinds of text",
    )
    needs = (any_of(Need.SEQUENCE_CLASSIFIER),)
    inputs = {"examples": Input(LabelledTexts, "texts with their true labels", EXAMPLES)}  # noqa: RUF012
    Params = UniversalTriggerParams
    metrics = trigger_metrics()
    nothing = "no held-out text met a trigger"
    Row = UniversalTriggerRow

    def cases(self, plan: Plan) -> list[Case]:
        """One case per held-out text; each holds all texts to search on. Raises DataError for a target that is none."""
        dataset = plan.data["examples"]
        if self.params.side == "second" and "pair" not in dataset.frame:
            raise DataError(f"{dataset.source.source}: no column 'pair', but side is 'second'; leave side out")
        target = self._target(plan)
        examples = [each for each in self._examples(plan) if each["label"] != target]
        if not examples:
            raise DataError(f"{dataset.source.source}: every text is of class {self.params.target!r}, the target")
        searched = self._split(examples)
        keys = {_key(example) for example in searched}
        shared = {"target": target, "search_digest": content_id({"texts": searched})}
        held_out = [{**example, **shared} for example in examples if _key(example) not in keys]
        return [Case(case.id, {**case.data, "search_texts": searched}) for case in make_cases(held_out)]

    def prepare(self, models: Models, plan: Plan) -> None:
        """Search the trigger of each class that has a held-out text. Raises UsageError as `run` does."""
        by_gradient, _ = self._by_gradient(models.subject)
        self._triggers(models.subject, plan.cases, by_gradient)

    def run(self, scorer: Scorer, cases: Sequence[Case]) -> Iterator[RowDict]:
        """One row per held-out text. Raises UsageError where gradients are asked for and the model gives none."""
        by_gradient, why = self._by_gradient(scorer)
        triggers = self._triggers(scorer, cases, by_gradient)
        attempts: list[_Attempt] = []
        for case in cases:
            found = triggers[_goal(case.data)]
            control = None if isinstance(found, str) else self._control(scorer, case, found)
            if isinstance(found, str) or control is None:
                yield error_row(case, found if isinstance(found, str) else "no random tokens can be written as text")
                continue
            original = _request(case.data)
            with_trigger, with_control = (triggered(original, text, self.params.side) for text in (found.text, control))
            attempts.append(_Attempt(case, found, control, (original, with_trigger, with_control)))
        distinct = list(dict.fromkeys(request for attempt in attempts for request in attempt.requests))
        answers = dict(zip(distinct, scorer.ask(distinct), strict=True))
        shared = {"search": "gradient" if by_gradient else "black box", "why_black_box": why}
        for attempt in attempts:
            yield _row(attempt, [answers[request] for request in attempt.requests], scorer.info.labels, shared)

    def cost(self, cases: Sequence[Case]) -> int:
        """Each held-out text is read three times; the search of each class reads its texts once per trigger tried."""
        params = self.params
        tries = 2 + params.iterations * (1 + params.trigger_tokens * params.candidates * params.beam)
        total = 3 * sum(_length(case.data) for case in cases)
        for label, data in {case.data["label"]: case.data for case in cases}.items():
            mine = [_length(self._cut(each)) for each in data["search_texts"] if each["label"] == label]
            total += sum(mine) * min(tries, params.max_reads // max(1, len(mine)))
        return total // 4

    def _target(self, plan: Plan) -> int | None:
        if self.params.target is None:
            return None
        labels = plan.checkpoint.labels
        found = class_of(self.params.target, labels)
        if found is None:
            raise DataError(f"target {self.params.target!r} is none of the model's classes, {', '.join(labels)}")
        return found

    def _examples(self, plan: Plan) -> list[dict[str, Any]]:
        frame = plan.data["examples"].frame
        parts = [name for name in ("text", "pair") if name in frame]
        classes = true_classes(plan, "examples", EXAMPLES)
        cut = {name: [first_words(text, self.params.max_words) for text in frame[name]] for name in parts}
        return [
            {
                **{name: cut[name][row][0] for name in parts},
                "label": label,
                "words_cut": sum(cut[name][row][1] for name in parts),
            }
            for row, label in enumerate(classes)
        ]

    def _split(self, examples: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """The texts to search on: of each class at most half of its distinct texts, by a seeded hash of them."""
        chosen: list[dict[str, Any]] = []
        for label in sorted({example["label"] for example in examples}):
            distinct = {_key(example): example for example in examples if example["label"] == label}
            ranked = sorted(distinct, key=lambda key: hashlib.sha256(f"{self.params.seed}:{key}".encode()).digest())
            chosen += [distinct[key] for key in ranked[: min(self.params.search_texts, len(ranked) // 2)]]
        return [{name: each[name] for name in ("text", "pair", "label") if name in each} for each in chosen]

    def _by_gradient(self, scorer: Scorer) -> tuple[bool, str | None]:
        """Whether the search goes by gradient, and why it cannot where it would."""
        if self.params.search == "black_box":
            return False, None
        why = scorer.why_no_gradients
        if why is not None and self.params.search == "gradient":
            raise UsageError(f"{self.name}: {why}; set search: black_box, or leave it out")
        return why is None, why

    def _triggers(self, scorer: Scorer, cases: Sequence[Case], by_gradient: bool) -> dict[Goal, Trigger | str]:
        """The trigger of each class among the cases, or why there is none: as kept, else searched now."""
        texts = {_goal(case.data): case.data for case in cases}
        return {goal: self._trigger(scorer, goal, data, by_gradient) for goal, data in texts.items()}

    def _trigger(self, scorer: Scorer, goal: Goal, data: Mapping[str, Any], by_gradient: bool) -> Trigger | str:
        name = [goal.source, goal.target, data["search_digest"], "gradient" if by_gradient else "black box"]
        kept = self.kept.value(
            f"trigger {json.dumps(name)}",
            lambda: to_keep(self._search(scorer, goal, data["search_texts"], by_gradient)),
        )
        return read_back(kept)

    def _search(
        self, scorer: Scorer, goal: Goal, texts: Sequence[Mapping[str, Any]], by_gradient: bool
    ) -> Trigger | str:
        params = self.params
        settings = Settings(
            tokens=params.trigger_tokens,
            candidates=params.candidates,
            beam=params.beam,
            iterations=params.iterations,
            reads=params.max_reads,
            seed=params.seed,
            side=params.side,
            gradient=by_gradient,
        )
        own, others = (
            [_request(self._cut(each)) for each in texts if (each["label"] == goal.source) is mine]
            for mine in (True, False)
        )
        try:
            return find_trigger(scorer, goal, settings, own, others)
        except SearchError as error:
            return f"no trigger: {error}"

    def _cut(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """The text (and pair) as far as the search reads it."""
        most = self.params.search_words
        return {**data, **{name: first_words(data[name], most)[0] for name in ("text", "pair") if data.get(name)}}

    def _control(self, scorer: Scorer, case: Case, found: Trigger) -> str | None:
        """Random tokens for this text, as many as the trigger has, from where the search took its own."""
        rng = np.random.default_rng(case_seed(self.params.seed, case.id))
        tokens = random_trigger(scorer, found.pool, len(found.tokens), rng)
        return None if tokens is None else text_of(scorer, tokens)


@dataclass(frozen=True, slots=True)
class _Attempt:
    """A held-out text as it is, behind its class's trigger, and behind random words."""

    case: Case
    found: Trigger
    control: str
    requests: tuple[TextRequest, TextRequest, TextRequest]


def _row(
    attempt: _Attempt, answers: Sequence[ClassScores], labels: Sequence[str], shared: Mapping[str, str | None]
) -> RowDict:
    case, found = attempt.case, attempt.found
    for what, answer in zip(("the text", "behind the trigger", "behind the control"), answers, strict=True):
        if answer.error is not None:
            return error_row(case, f"{what}: {answer.error}")
    original, with_trigger, with_control = answers
    label, perturbed = case.data["label"], attempt.requests[1]
    return ok_row(
        case,
        text=case.data["text"],
        pair=case.data.get("pair"),
        label=label,
        label_name=labels[label],
        target=case.data["target"],
        predicted=original.label,
        score=float(original.probabilities[label]),
        perturbed_text=perturbed.text,
        perturbed_pair=perturbed.pair,
        perturbed_predicted=with_trigger.label,
        perturbed_score=float(with_trigger.probabilities[label]),
        trigger=found.text,
        trigger_tokens=list(found.tokens),
        control=attempt.control,
        control_predicted=with_control.label,
        control_score=float(with_control.probabilities[label]),
        **shared,
        search_texts=found.texts,
        search_success=found.success,
        search_start_loss=found.start_loss,
        search_loss=found.loss,
        search_reads=found.reads,
        search_exhausted=found.exhausted,
        words_cut=case.data["words_cut"],
        truncated=original.truncated,
    )


def _goal(data: Mapping[str, Any]) -> Goal:
    """What the search of a text's class is after."""
    return Goal(data["label"], data["target"])


def _request(data: Mapping[str, Any]) -> TextRequest:
    return TextRequest(data["text"], data.get("pair"))


def _key(example: Mapping[str, Any]) -> str:
    """What makes two examples the same text."""
    return json.dumps([example["text"], example.get("pair"), example["label"]], ensure_ascii=False)


def _length(data: Mapping[str, Any]) -> int:
    """Characters of the text and its pair."""
    return len(data["text"]) + len(data.get("pair") or "")
