"""bias/stereoset: whether a language model prefers stereotypes to their opposites, and sense to nonsense."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd
from pandera.typing import Series
from pydantic import Field

from harness.api.case import Case, make_cases
from harness.api.columns import column
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
from harness.api.scorer import Scorer
from harness.errors import DataError
from suites.bias.alike import unlike
from suites.bias.reading import SAME
from suites.bias.stereoset.data import CHOICES, INTER, INTRA, Filled, StereoSetData, filled, permuted, read_triples
from suites.bias.stereoset.metrics import CONTROL, METRICS, SCORED
from suites.bias.stereoset.scores import score_causal, score_masked, score_next
from suites.framing import require_start

CAUSAL, MASKED, NEXT = "causal", "masked", "next sentence"
_BY_NEED = {Need.MASKED_LM: MASKED, Need.CAUSAL_LM: CAUSAL, Need.NEXT_SENTENCE: NEXT}
_TASKS = {MASKED: INTRA, CAUSAL: INTRA, NEXT: INTER}
"""What each kind of model is asked: blanks to be filled, or sentences that may follow."""


class StereoSetParams(ProbeParams):
    """Settings of bias/stereoset."""

    control: bool = Field(default=True, description="also ask about each context with another group in it")


class StereoSetRow(ProbeRow):
    """One row per context: a score for each of its three sentences, higher is preferred."""

    role: Series[str] = column(
        "scored, or a control that counts for no score", absent=SCORED, isin=[SCORED, CONTROL], of_case=True
    )
    task: Series[str] = column(
        "whether sentences fill a blank or follow", absent=INTRA, isin=[INTRA, INTER], of_case=True
    )
    kind: Series[str] = column(
        "kind of model, which decides what a score is; '' where the rows do not say",
        absent="",
        isin=["", *_TASKS],
        of_case=True,
    )
    bias_type: Series[str] = column("kind of stereotype; '' where the data do not say", absent="", of_case=True)
    target: Series[str] = column(
        "the group that the context is about, over which macro scores are averaged", of_case=True
    )
    context: Series[str] = column("the context", absent="", of_case=True)
    score_stereotype: Series[float] = column("score of the stereotyping sentence")
    score_anti_stereotype: Series[float] = column("score of the opposite")
    score_unrelated: Series[float] = column("score of the sentence without sense")

    @classmethod
    def contradictions(cls, rows: pd.DataFrame) -> Mapping[str, pd.Series[bool]]:
        """Scores of kinds of model do not compare, but the published code takes one for each task."""
        return unlike(rows, "kind", within="task")


class StereoSet(Probe[StereoSetParams]):
    """How often stereotypes beat their opposites (ideal: half), and either beats nonsense (ideal: always)."""

    name = "bias/stereoset"
    about = About(
        summary="How often a model prefers a stereotype to its opposite (stereotype score, ideal one half), sense to "
        "nonsense (language model score), and both in one number (ICAT); ties count as not preferred",
        paper="Nadeem et al. 2021, StereoSet: means over target terms as published, x 100 there; micro: over triples",
        cannot_tell="whether the model harms anyone: Blodgett et al. 2021 find many contexts ambiguous or malformed, "
        "Pikuliak et al. 2023 that controls give illogical results too, so read it beside its control; one half is not "
        "fairness; US English only; the development set is public and may have been trained on; scores of masked, "
        "causal and next-sentence models are not comparable",
    )
    needs = (any_of(Need.MASKED_LM, Need.CAUSAL_LM, Need.NEXT_SENTENCE),)
    inputs = {  # noqa: RUF012
        "triples": Input(
            StereoSetData, "a context, with BLANK in it or not, and sentences: stereotype, anti_stereotype, unrelated"
        )
    }
    metrics = METRICS
    nothing = "no triple could be scored"
    Params = StereoSetParams
    Row = StereoSetRow

    def cases(self, plan: Plan) -> list[Case]:
        """One case per context of the task that the model can do, and one per context of the control."""
        kind = next(kind for need, kind in _BY_NEED.items() if need in plan.checkpoint.offers)
        if kind == CAUSAL:
            require_start(plan.checkpoint)
        mine = [each for each in read_triples(plan.data["triples"]) if each["task"] == _TASKS[kind]]
        if not mine:
            raise DataError(
                f"{plan.data['triples'].source.source}: no {_TASKS[kind]} contexts, which a {kind} model is asked; "
                "give some, with BLANK in the context for intrasentence and without for intersentence"
            )
        items = [{**each, "role": SCORED, "kind": kind} for each in mine]
        if self.params.control:
            items += [{**each, "role": CONTROL, "kind": kind} for each in permuted(mine)]
        return make_cases(items)

    def run(self, scorer: Scorer, cases: Sequence[Case]) -> Iterator[RowDict]:
        """One row per context."""
        for kind in dict.fromkeys(case.data["kind"] for case in cases):
            yield from _rows(scorer, kind, [case for case in cases if case.data["kind"] == kind])

    def cost(self, cases: Sequence[Case]) -> int:
        """Tokens read: each sentence once per token of the word for a masked LM, two on average; once for others."""
        length = sum(len(case.data[name]) // 4 + 3 for case in cases for name in CHOICES)
        return length * 2 if any(case.data["kind"] == MASKED for case in cases) else length


def _rows(scorer: Scorer, kind: str, cases: Sequence[Case]) -> Iterator[RowDict]:
    """Rows of cases of one kind; a context whose blank a sentence does not fill is excluded."""
    fillings = {
        case.id: [filled(case.data["context"], case.data[name]) for name in CHOICES] if kind == MASKED else []
        for case in cases
    }
    fitting = [case for case in cases if None not in fillings[case.id]]
    scores = iter(_scores(scorer, kind, fitting, [each for case in fitting for each in fillings[case.id] if each]))
    for case in cases:
        if None in fillings[case.id]:
            yield excluded_row(case, "a sentence does not fill the blank of its context")
            continue
        found = [next(scores) for _ in CHOICES]
        error = next((each for each in found if isinstance(each, str)), None)
        told = [" ".join(each.words) for each in fillings[case.id] if each] or [case.data[name] for name in CHOICES]
        if error is None and len({scorer.encode(text) for text in told}) < len(CHOICES):
            error = SAME
        if error is not None:
            yield error_row(case, error)
            continue
        said = {name: case.data[name] for name in ("role", "task", "kind", "bias_type", "target", "context")}
        yield ok_row(case, **said, **{f"score_{name}": score for name, score in zip(CHOICES, found, strict=True)})


def _scores(scorer: Scorer, kind: str, cases: Sequence[Case], fillings: Sequence[Filled]) -> list[float | str]:
    """Three scores per case, in the order of CHOICES."""
    if kind == MASKED:
        return score_masked(scorer, fillings)
    sentences = [case.data[name] for case in cases for name in CHOICES]
    if kind == CAUSAL:
        return score_causal(scorer, sentences)
    contexts = [case.data["context"] for case in cases for _ in CHOICES]
    return score_next(scorer, list(zip(contexts, sentences, strict=True)))
