"""quality/consistency: does a model answer the same when a text is put in other words, or in another form."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

import pandas as pd
import pandera.pandas as pa
from pandera.typing import Series
from pydantic import Field, field_validator

from harness.api.case import Case, make_cases
from harness.api.columns import column, list_column
from harness.api.needs import Need, any_of
from harness.api.probe import (
    About,
    Input,
    Plan,
    Probe,
    ProbeParams,
    ProbeRow,
    RowDict,
    error_row,
    excluded_row,
    ok_row,
)
from harness.api.scorer import ClassScores, Scorer
from harness.data.datasets import Dataset
from harness.data.schemas import EMPTY, PairedTexts, has_text
from harness.errors import NoDataError, WrongDataError
from suites.labels import check_classes, class_indices, is_sentiment
from suites.quality.consistency.answers import answered
from suites.quality.consistency.changes import CHANGES, OF_PROMPT, Change, changed
from suites.quality.consistency.metrics import CONSISTENCY, PARAPHRASE
from suites.quality.consistency.prompts import CHOICES, prompt
from suites.sources import IMDB_HELD_OUT


class Examples(PairedTexts):
    """Texts, or text pairs in every row, with the true label where there is one."""

    label: Series[Any] | None = pa.Field()


class Paraphrases(PairedTexts):
    """Texts with the set that each belongs to: those of a set mean the same."""

    set: Series[str] = pa.Field(coerce=True)

    @pa.check("set", error=EMPTY)
    @classmethod
    def named(cls, values: Series[str]) -> Series[bool]:
        """A text of no set has nothing to be compared with."""
        return has_text(values)


class ConsistencyParams(ProbeParams):
    """Settings."""

    changes: tuple[Change, ...] = Field(default=CHANGES, description="changes of form that are tried on each example")
    choices: tuple[str, ...] = Field(
        default=(), description="answers that a causal LM chooses among, by their likelihood after the text"
    )
    instruction: str = Field(
        default="", description="what a causal LM is told beside each text; {choices} is the list of them"
    )

    @field_validator("choices")
    @classmethod
    def _can_be_told_apart(cls, choices: tuple[str, ...]) -> tuple[str, ...]:
        if len(choices) == 1 or len(set(choices)) != len(choices) or not all(choice.strip() for choice in choices):
            raise ValueError("give two or more different choices, none of them empty")
        return choices


class ConsistencyRow(ProbeRow):
    """One row per example and change, and per set of paraphrases; lists have one entry per text."""

    group: Series[str] = column("the example or the set; rows of one group are related")
    kind: Series[str] = column("the change of form, or paraphrase")
    predicted: Series[object] = list_column("answer to each text, by index", of="int64")
    chances: Series[object] = list_column("probability of the first text's answer, of each text", of="double")
    agreement: Series[float] = column("share of the pairs of texts that get the same answer", "rate", ge=0, le=1)
    same: Series[bool] = column("whether all texts get the same answer")
    spread: Series[float] = column("largest less smallest of these probabilities", ge=0, le=1)
    label: Series[pd.Int64Dtype] = column("the true answer, by index; empty where none is given", ge=0, nullable=True)
    truncated: Series[int] = column("most tokens of a text that the model cannot read", "tokens", ge=0)


_AS_IT_IS = "the change leaves the text as it is"


class Consistency(Probe[ConsistencyParams]):
    """Whether answers hold under paraphrases of the user and under changes of case, punctuation, blanks and order."""

    name = "quality/consistency"
    about = About(
        summary="How often a classifier, or a causal model that chooses, gives one answer to texts that mean the same",
        paper="Elazar et al. 2021, Measuring and Improving Consistency in Pretrained Language Models (agreement over "
        "pairs of paraphrases); Sclar et al. 2024, Quantifying Language Models' Sensitivity to Spurious Features in "
        "Prompt Design (spread over formats), whose formats differ from these",
        cannot_tell="whether the answers are right: a model that always says the same agrees with itself; a tokenizer "
        "that drops case or blanks hides such changes from the model; the paraphrases are the user's, and whether "
        "they mean the same is theirs to say",
    )
    needs = (any_of(Need.SEQUENCE_CLASSIFIER, Need.CAUSAL_LM),)
    inputs = {  # noqa: RUF012
        "examples": Input(Examples, "texts whose form is changed, with labels where there are such", IMDB_HELD_OUT),
        "paraphrases": Input(Paraphrases, "texts, each with its set of texts that mean the same", required=False),
    }
    metrics = CONSISTENCY
    nothing = "no group of texts could be answered"
    Params = ConsistencyParams
    Row = ConsistencyRow

    def cases(self, plan: Plan) -> list[Case]:
        """One case per example and change, and per set. Raises NoDataError for a causal LM without choices."""
        names = self._names(plan)
        examples = plan.data["examples"]
        items = [
            item
            for text, pair, label in _rows(examples, self._labels(plan, names))
            for item in self._formats(text, pair, label, causal=self._chooses(plan))
        ]
        if "paraphrases" in plan.data:
            items += self._sets(plan.data["paraphrases"], causal=self._chooses(plan))
        return make_cases(items)

    def run(self, scorer: Scorer, cases: Sequence[Case]) -> Iterator[RowDict]:
        """One row per case; the texts of all go to the model together."""
        asked = [case for case in cases if not case.data["unchanged"]]
        yield from (excluded_row(case, _AS_IT_IS) for case in cases if case.data["unchanged"])
        texts = [(text, pair) for case in asked for text, pair in case.data["texts"]]
        answers = iter(answered(scorer, texts, self.params.choices))
        for case in asked:
            yield _row(case, [next(answers) for _ in case.data["texts"]])

    def cost(self, cases: Sequence[Case]) -> int:
        """Every text is read once; by a causal LM once per choice."""
        read = sum(len(text) + len(pair or "") for case in cases for text, pair in case.data["texts"])
        return read * max(1, len(self.params.choices)) // 4

    @staticmethod
    def _chooses(plan: Plan) -> bool:
        return Need.CAUSAL_LM in plan.checkpoint.offers

    def _names(self, plan: Plan) -> Sequence[str]:
        """Names of the answers. Raises NoDataError, or DataError for a head that is no classifier."""
        if not self._chooses(plan):
            check_classes(plan.checkpoint.labels, plan.checkpoint.source.source)
            return plan.checkpoint.labels
        if not self.params.choices:
            raise NoDataError(
                "a causal LM needs answers to choose among; give params: {choices: [yes, no]}, and an instruction"
            )
        return self.params.choices

    def _labels(self, plan: Plan, names: Sequence[str]) -> list[int | None]:
        """True answers of the examples; None where there are none, or where the default data have others."""
        examples = plan.data["examples"]
        foreign = examples.source == self.inputs["examples"].default and not is_sentiment(names)
        if "label" not in examples.frame or foreign:
            return [None] * len(examples)
        return list(class_indices(examples, names))

    def _formats(self, text: str, pair: str | None, label: int | None, *, causal: bool) -> Iterator[dict[str, Any]]:
        """The text as given beside each of its other forms."""
        given = self._read(text, pair, causal=causal)
        for change in self.params.changes:
            if change in OF_PROMPT and (not causal or (change == "choices" and CHOICES not in self.params.instruction)):
                continue
            other = changed(text, change), None if pair is None else changed(pair, change)
            read = self._read(*other, causal=causal, change=change)
            yield {"group": text, "kind": change, "texts": [given, read], "label": label, "unchanged": read == given}

    def _sets(self, data: Dataset, *, causal: bool) -> Iterator[dict[str, Any]]:
        """Each set of two or more texts. Raises WrongDataError for a set of one."""
        frame = data.frame
        pairs = frame["pair"] if "pair" in frame else [None] * len(frame)
        sets: dict[str, list[list[str | None]]] = {}
        for name, text, pair in zip(frame["set"], frame["text"], pairs, strict=True):
            sets.setdefault(str(name), []).append(self._read(str(text), pair, causal=causal))
        for name, texts in sets.items():
            if len(texts) < 2:
                raise WrongDataError(
                    f"{data.source.source}: the set {name[:40]!r} has one text, which nothing can be compared with; "
                    "add a paraphrase or leave it out"
                )
            yield {"group": f"set {name}", "kind": PARAPHRASE, "texts": texts, "label": None, "unchanged": False}

    def _read(self, text: str, pair: str | None, *, causal: bool, change: Change | None = None) -> list[str | None]:
        """What the model reads of a text, and its pair."""
        if not causal:
            return [text, pair]
        both = text if pair is None else f"{text}\n{pair}"
        return [prompt(both, self.params.instruction, self.params.choices, change), None]


def _rows(data: Dataset, labels: Sequence[int | None]) -> Iterator[tuple[str, str | None, int | None]]:
    frame = data.frame
    pairs = frame["pair"] if "pair" in frame else [None] * len(frame)
    for text, pair, label in zip(frame["text"], pairs, labels, strict=True):
        yield str(text), pair, label


def _row(case: Case, answers: Sequence[ClassScores]) -> RowDict:
    error = next((answer.error for answer in answers if answer.error is not None), None)
    if error is not None:
        return error_row(case, error)
    predicted = [answer.label for answer in answers]
    chances = [float(answer.probabilities[predicted[0]]) for answer in answers]
    alike = [first == second for first, second in combinations(predicted, 2)]
    return ok_row(
        case,
        group=case.data["group"],
        kind=case.data["kind"],
        label=case.data["label"],
        predicted=predicted,
        chances=chances,
        agreement=sum(alike) / len(alike),
        same=all(alike),
        spread=max(chances) - min(chances),
        truncated=max(answer.truncated for answer in answers),
    )
