"""quality/extractive_qa: does a model find the answer in the text, and know where there is none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
from pandera.typing import Series
from pydantic import Field

from harness.api.case import Case, make_cases
from harness.api.columns import column, list_column
from harness.api.declared import By, MeanOf, ShareOf, equal, of
from harness.api.estimates import UNIT
from harness.api.lists import as_list
from harness.api.metrics import Better
from harness.api.needs import Need, any_of
from harness.api.probe import About, Input, Plan, Probe, ProbeParams, ProbeRow, RowDict, error_row, ok_row
from harness.api.scorer import Floats, Scorer
from harness.data.schemas import EMPTY, LISTS, has_text
from harness.errors import WrongDataError
from suites.quality.cells import one_or_more
from suites.quality.extractive_qa.reading import Found, read_all
from suites.quality.extractive_qa.squad import best, exact, f1

ANSWERABLE, UNANSWERABLE = "answerable", "unanswerable"


class Questions(pa.DataFrameModel):
    """Questions about a context; `answers` is one answer, a list of those that are right, or SQuAD's `{text: list}`."""

    question: Series[str] = pa.Field(coerce=True)
    context: Series[str] = pa.Field(coerce=True)
    answers: Series[str] = pa.Field(coerce=True, nullable=True, metadata={LISTS: True})

    @pa.check("question", error=EMPTY)
    @classmethod
    def asked(cls, values: Series[str]) -> Series[bool]:
        """A question asks something."""
        return has_text(values)

    @pa.check("context", error=EMPTY)
    @classmethod
    def given(cls, values: Series[str]) -> Series[bool]:
        """Of something."""
        return has_text(values)


class ExtractiveQAParams(ProbeParams):
    """Settings."""

    unanswerable: bool = Field(
        default=False,
        description="whether questions without an answer in the data have none (SQuAD 2), and the model may say so",
    )
    no_answer_above: float = Field(
        default=0.0, description="logits by which [CLS] must be above the likeliest span for the answer to be none"
    )
    answer_tokens: int = Field(default=30, ge=1, description="most tokens of an answer")


class AnswerRow(ProbeRow):
    """One row per question."""

    kind: Series[str] = column("whether the context holds the answer", isin=[ANSWERABLE, UNANSWERABLE])
    answers: Series[object] = list_column("right answers; none where there is none", of="string")
    predicted: Series[str] = column("the model's answer; empty for none")
    span: Series[str] = column("the likeliest span, also where the model says that there is no answer")
    score: Series[float] = column("summed logits of the span's two ends")
    no_answer: Series[float] = column("summed logits of [CLS] as both ends; empty without a [CLS]", nullable=True)
    pieces: Series[int] = column("pieces that the context was read in", "pieces", ge=1)


def _scored(score: Callable[[str, str], float]) -> Callable[[pd.Series[Any], pd.Series[str]], Floats]:
    def of_rows(answers: pd.Series[Any], predicted: pd.Series[str]) -> Floats:
        pairs = zip(answers, predicted, strict=True)
        return np.array([best(score, str(mine), [str(gold) for gold in as_list(golds)]) for golds, mine in pairs])

    return of_rows


_KINDS = By(("kind",))


class ExtractiveQA(Probe[ExtractiveQAParams]):
    """Exact match and F1 of answers taken from a context."""

    name = "quality/extractive_qa"
    about = About(
        summary="How often a model takes the right answer out of a text, whole or in part",
        paper="Rajpurkar et al. 2016 and 2018 (SQuAD 1.1 and 2.0): exact match and F1, the best of the right answers",
        cannot_tell="whether another wording is right: only words shared with the given answers count; the rules take "
        "out English articles and ASCII punctuation, whatever the language",
    )
    needs = (any_of(Need.QUESTION_ANSWERING),)
    inputs = {"contexts": Input(Questions, "`question`, `context` and `answers`")}  # noqa: RUF012
    metrics = (
        ShareOf("exact_match", Better.HIGHER, of(_scored(exact), "answers", "predicted"), slices=_KINDS),
        MeanOf("f1", Better.HIGHER, of(_scored(f1), "answers", "predicted"), bounds=UNIT, slices=_KINDS),
        ShareOf("no_answer_rate", Better.NEITHER, equal("predicted", ""), headline=False, slices=_KINDS),
    )
    nothing = "no question could be answered"
    Params = ExtractiveQAParams
    Row = AnswerRow

    def cases(self, plan: Plan) -> list[Case]:
        """One case per question. Raises WrongDataError where an answer is missing, or does not stand in its context."""
        data = plan.data["contexts"]
        cells = zip(data.frame["question"], data.frame["context"], data.frame["answers"], strict=True)
        found = []
        for row, (question, context, answers) in enumerate(cells, 1):
            golds = one_or_more(answers)
            where = f"{data.source.source}: row {row}"
            if not golds and not self.params.unanswerable:
                raise WrongDataError(
                    f"{where} has no answer; say params: {{unanswerable: true}} where that means that the context has "
                    "none, or leave the row out"
                )
            if golds and not any(gold in context for gold in golds):
                raise WrongDataError(
                    f"{where}: its context holds none of its answers, such as {golds[0][:40]!r}; an extractive model "
                    "can only answer with words of the context"
                )
            found.append({"question": question, "context": context, "answers": golds})
        return make_cases(found)

    def run(self, scorer: Scorer, cases: Sequence[Case]) -> Iterator[RowDict]:
        """One row per question."""
        asked = [(case.data["question"], case.data["context"]) for case in cases]
        for case, found in zip(cases, read_all(scorer, asked, self.params.answer_tokens), strict=True):
            yield error_row(case, found.error) if found.error is not None else self._row(case, found)

    def _row(self, case: Case, found: Found) -> RowDict:
        span = case.data["context"][found.start : found.end]
        above = None if found.no_answer is None else found.no_answer - found.score
        is_none = self.params.unanswerable and above is not None and above > self.params.no_answer_above
        return ok_row(
            case,
            kind=ANSWERABLE if case.data["answers"] else UNANSWERABLE,
            answers=case.data["answers"],
            predicted="" if is_none else span,
            span=span,
            score=found.score,
            no_answer=found.no_answer,
            pieces=found.pieces,
        )
