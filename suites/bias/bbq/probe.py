"""bias/bbq: whether answers follow stereotypes where the text does not tell, and where it tells the opposite."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from pandera.typing import Series
from pydantic import Field

from harness.api.case import Case, make_cases
from harness.api.columns import column, list_column
from harness.api.needs import Need, any_of
from harness.api.probe import About, Input, Plan, Probe, ProbeParams, ProbeRow, RowDict, error_row, ok_row
from harness.api.scorer import Scorer
from suites.bias.alike import unlike
from suites.bias.bbq.control import invented
from suites.bias.bbq.data import (
    AMBIGUOUS,
    ANSWERS,
    CONTROL,
    DISAMBIGUATED,
    LABELS,
    NAMES,
    NEGATIVE,
    NON_NEGATIVE,
    SCORED,
    BBQData,
    read_questions,
)
from suites.bias.bbq.metrics import METRICS
from suites.bias.bbq.scores import Asking, score_answers, score_choices
from suites.framing import require_start

CHOICES, PER_TOKEN = "choices", " per token"
ASKED = (*Asking, *(f"{each}{PER_TOKEN}" for each in Asking), CHOICES)
"""How a question is put to a model, which changes its answers."""


class BBQParams(ProbeParams):
    """Settings of bias/bbq; the first two are about causal models."""

    asking: Asking = Field(default=Asking.ANSWERS, description="answers: the likeliest answer; letters: of a list")
    per_token: bool = Field(default=False, description="compare log-likelihoods per token; sums favour short answers")
    control: bool = Field(default=True, description="also ask about invented groups, shown as control")


class BBQRow(ProbeRow):
    """One row per question; answers are numbered 0 to 2 as in the data."""

    role: Series[str] = column(
        "scored, or a control that counts for no score", absent=SCORED, isin=[SCORED, CONTROL], of_case=True
    )
    category: Series[str] = column("what the stereotype is about", absent="", of_case=True)
    template: Series[str] = column(
        "questions of one template are not independent; '' where unknown", absent="", of_case=True
    )
    answers: Series[str] = column(
        "whether answers are group labels or proper names; '' where the data do not say",
        absent="",
        isin=["", LABELS, NAMES],
        of_case=True,
    )
    condition: Series[str] = column(
        "whether the context tells the answer (disambig) or not (ambig)", isin=[AMBIGUOUS, DISAMBIGUATED], of_case=True
    )
    polarity: Series[str] = column(
        "whether the question asks for something negative", isin=[NEGATIVE, NON_NEGATIVE], of_case=True
    )
    label: Series[int] = column("the right answer", ge=0, le=2, of_case=True)
    unknown: Series[int] = column("the answer that says unknown", ge=0, le=2, of_case=True)
    target: Series[pd.Int64Dtype] = column(
        "the answer of the stereotype's group; empty where the data do not tell",
        nullable=True,
        ge=0,
        le=2,
        of_case=True,
    )
    asked: Series[str] = column(
        "answers or letters of a causal model, by sums or per token; choices of a multiple-choice head; '' where the "
        "rows do not say",
        absent="",
        isin=["", *ASKED],
    )
    predicted: Series[int] = column("the answer that the model gives", ge=0, le=2)
    scores: Series[object] = list_column(
        "log-likelihoods of the three answers, or logits of a multiple-choice head; empty where the model gives none",
        "nats",
        of="double",
        absent=[],
    )

    @classmethod
    def contradictions(cls, rows: pd.DataFrame) -> Mapping[str, pd.Series[bool]]:
        """What the data are refused for, too: bias scores take the right ambiguous answer to be unknown.

        And rows under two askings.
        """
        ambiguous, label = rows["condition"] == AMBIGUOUS, rows["label"]
        return {
            "an ambiguous context whose label is not the answer unknown": ambiguous & (label != rows["unknown"]),
            "a target that is the answer unknown": (rows["target"] == rows["unknown"]).fillna(False).astype(bool),
            **unlike(rows, "asked"),
        }


class BBQ(Probe[BBQParams]):
    """Accuracy and bias scores, where the context is ambiguous and where it is not."""

    name = "bias/bbq"
    version = "2"
    about = About(
        summary="Whether answers to questions about people follow stereotypes: bias scores from -1 (always against) to "
        "1 (always along), accuracy, and what accuracy the stereotype costs where the context contradicts it",
        paper="Parrish et al. 2022, BBQ (scores x 100 there); likelihood of answers as in lm-evaluation-harness, but "
        "an undefined score is missing, not 0, and there is one answer unknown, not ten; multiple-choice heads read "
        "context and question with each answer, as for RACE",
        cannot_tell="whether the model harms anyone, or what it would write by itself; US English stereotypes of one "
        "collection; a model that always answers unknown has no bias score, one that guesses has one near 0; small "
        "models answer at chance; the data are public, perhaps trained on; the wording of the prompt changes answers; "
        "a control near the score: what a model prefers is a matter of the question, not of the group",
    )
    needs = (any_of(Need.CAUSAL_LM, Need.MULTIPLE_CHOICE),)
    inputs = {  # noqa: RUF012
        "questions": Input(
            BBQData, "questions with three answers: which is right, unknown, and of the stereotype's group"
        )
    }
    metrics = METRICS
    nothing = "no question could be answered"
    Params = BBQParams
    Row = BBQRow

    def cases(self, plan: Plan) -> list[Case]:
        """One case per question, of the data and of the control."""
        if Need.CAUSAL_LM in plan.checkpoint.offers:
            require_start(plan.checkpoint)
        questions = [{**question, "role": SCORED} for question in read_questions(plan.data["questions"])]
        if self.params.control:
            questions += [{**question, "role": CONTROL} for question in invented(questions)]
        return make_cases(questions)

    def run(self, scorer: Scorer, cases: Sequence[Case]) -> Iterator[RowDict]:
        """One row per question; of equal scores the first answer counts."""
        questions = [case.data for case in cases]
        asked = CHOICES
        if Need.CAUSAL_LM in scorer.info.offers:
            asked = f"{self.params.asking}{PER_TOKEN if self.params.per_token else ''}"
            found = score_answers(scorer, questions, self.params.asking, per_token=self.params.per_token)
        else:
            found = score_choices(scorer, questions)
        for case, scores in zip(cases, found, strict=True):
            if isinstance(scores, str):
                yield error_row(case, scores)
            else:
                answer = int(np.argmax(scores))
                yield ok_row(case, **self.of_case(case), asked=asked, predicted=answer, scores=scores)

    def cost(self, cases: Sequence[Case]) -> int:
        """Tokens read: the context and the question once per answer."""
        return sum(
            len(ANSWERS) * (sum(len(case.data[name]) for name in ("context", "question", *ANSWERS)) // 4 + 6)
            for case in cases
        )
