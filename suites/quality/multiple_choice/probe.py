"""quality/multiple_choice: questions with choices, answered by likelihood."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Self

import numpy as np
import pandas as pd
from pandera.typing import Series
from pydantic import Field, model_validator

from harness.api.case import Case, make_cases
from harness.api.columns import column, list_column
from harness.api.declared import Computed, MeanOf, Named, Of, Rows, ShareOf, equal, of
from harness.api.lists import as_list
from harness.api.metrics import Better, Metric
from harness.api.needs import Need, any_of
from harness.api.probe import About, Input, Plan, Probe, ProbeParams, ProbeRow, RowDict, error_row, ok_row
from harness.api.scorer import Floats, Scorer
from harness.errors import UsageError
from suites.framing import require_start
from suites.quality.lm_eval.reading import Asked, Reader, UnreadableError
from suites.quality.multiple_choice.prompts import Form, Pool, Prompt, Writer, rotated
from suites.quality.multiple_choice.questions import Question, Questions, read_questions
from suites.quality.multiple_choice.spread import spread


class MultipleChoiceParams(ProbeParams):
    """Settings."""

    form: Form = Field(
        default=Form.CLOZE,
        description="cloze: the text of each choice is scored; letters: they are listed, and letters are",
    )
    prompt: str = Field(default="Question: {question}\nAnswer:", description="what is asked; holds {question} once")
    num_fewshot: int = Field(default=0, ge=0, le=50, description="solved examples before each question")
    seed: int = Field(default=0, ge=0, description="of the draw of examples; default: the spec's")
    choice_orders: int = Field(default=1, ge=1, le=8, description="orders of the choices that are asked (letters only)")
    example_orders: int = Field(default=1, ge=1, le=8, description="orders of the examples that are asked")

    @model_validator(mode="after")
    def _orders_make_sense(self) -> Self:
        if self.prompt.count("{question}") != 1:
            raise ValueError("prompt must hold {question} once")
        if self.choice_orders > 1 and self.form is not Form.LETTERS:
            raise ValueError(
                "choice_orders: in cloze form choices are not listed, so they have no order; use form: letters"
            )
        if self.example_orders > max(1, self.num_fewshot):
            raise ValueError(f"example_orders: {self.num_fewshot} examples have not {self.example_orders} rotations")
        return self


class MultipleChoiceRow(ProbeRow):
    """One row per question."""

    form: Series[str] = column("cloze or letters", isin=[str(form) for form in Form])
    label: Series[int] = column("right choice, by index", ge=0)
    predicted: Series[int] = column("choice with the largest likelihood, by index", ge=0)
    by_characters: Series[int] = column("choice with the largest likelihood per character of it", ge=0)
    by_tokens: Series[int] = column("choice with the largest likelihood per token of it", ge=0)
    by_bytes: Series[int] = column("choice with the largest likelihood per UTF-8 byte of it", ge=0)
    loglikelihoods: Series[object] = list_column("of each choice after the question", "nats", of="double")
    tokens: Series[object] = list_column("tokens of each choice", "tokens", of="int64")
    by_choice_order: Series[object] = list_column("choice predicted under each order of the choices", of="int64")
    by_example_order: Series[object] = list_column("choice predicted under each order of the examples", of="int64")
    truncated: Series[int] = column("tokens cut off the left of the prompt", "tokens", ge=0)


def _right(name: str) -> Of:
    return of(operator.eq, "label", name)


def _probabilities(likelihoods: Any) -> Floats:
    values = np.asarray(as_list(likelihoods), dtype=np.float64)
    shifted = np.exp(values - values.max())
    return np.asarray(shifted / shifted.sum())


def _brier(label: pd.Series[int], likelihoods: pd.Series[Any]) -> Floats:
    """Sum over choices of (p - 1[right])^2, p the softmax of their likelihoods."""
    terms = [
        float(((_probabilities(cell) - np.eye(len(cell))[int(right)]) ** 2).sum())
        for right, cell in zip(label, likelihoods, strict=True)
    ]
    return np.asarray(terms, dtype=np.float64)


def _many(cells: pd.Series[Any]) -> pd.Series[Any]:
    return cells.map(lambda cell: len(as_list(cell)) > 1)


def _changes(cells: pd.Series[Any]) -> pd.Series[Any]:
    return cells.map(lambda cell: len(set(as_list(cell))) > 1)


def _spread(name: str, key: str, rows: Rows, named: Mapping[str, Named]) -> Iterator[Metric]:
    good = rows.good
    picked = np.array([as_list(cell) for cell in good[name]], dtype=np.int64)
    value, interval = spread(picked == good["label"].to_numpy(np.int64)[:, None])
    yield named[key].value(value, interval, len(good), missing=rows.missing)


def _order_metrics(kind: str) -> tuple[ShareOf, Computed]:
    """What another order of choices or examples changes."""
    name, key = f"by_{kind}_order", f"{kind}_order_spread"
    many = of(_many, name)
    flips = ShareOf(f"{kind}_order_flips", Better.LOWER, of(_changes, name), about=many, note="answers that change")
    note = "largest difference of accuracy between two orders"
    spreads = Named(key, Better.LOWER, unit="rate", note=note)
    return flips, Computed((spreads,), partial(_spread, name, key), about=many)


_CLOZE = equal("form", str(Form.CLOZE))


class MultipleChoice(Probe[MultipleChoiceParams]):
    """Questions with choices, answered by the likelihood of each."""

    name = "quality/multiple_choice"
    about = About(
        summary="How often the likeliest choice is the right one, raw and by length, and what orders change in that",
        paper="Brown et al. 2020 (choices by likelihood); Gao et al., lm-evaluation-harness (acc, acc_norm by "
        "characters, acc_bytes); Gu et al. 2024, OLMES (cloze and letters); Zhao et al. 2021, Lu et al. 2022 (orders)",
        cannot_tell="what the model would write if it were asked freely, or whether the questions were trained on; the "
        "normalisations answer different questions and none is the right one for all data",
    )
    needs = (any_of(Need.CAUSAL_LM),)
    inputs = {  # noqa: RUF012
        "items": Input(Questions, "questions with their choices and the right one"),
        "shots": Input(Questions, "other questions to draw examples from; default: the items", required=False),
    }
    metrics = (
        ShareOf("accuracy", Better.HIGHER, _right("predicted")),
        ShareOf("accuracy_by_characters", Better.HIGHER, _right("by_characters"), about=_CLOZE),
        ShareOf("accuracy_by_tokens", Better.HIGHER, _right("by_tokens"), about=_CLOZE),
        ShareOf("accuracy_by_bytes", Better.HIGHER, _right("by_bytes"), about=_CLOZE),
        MeanOf(
            *("brier", Better.LOWER, of(_brier, "label", "loglikelihoods")),
            bounds=(0.0, 2.0),
            note="from 0 to 2, summed over choices",
        ),
        MeanOf(
            *("guessing", Better.NEITHER, of(lambda cells: cells.map(lambda cell: 1 / len(cell)), "loglikelihoods")),
            unit="rate",
            headline=False,
            note="accuracy of a guess",
        ),
        *_order_metrics("choice"),
        *_order_metrics("example"),
        ShareOf("truncated_rate", Better.LOWER, of(lambda cut: cut > 0, "truncated"), headline=False),
    )
    nothing = "no question could be answered"
    Params = MultipleChoiceParams
    Row = MultipleChoiceRow

    def cases(self, plan: Plan) -> list[Case]:
        """One case per question, with its prompts."""
        require_start(plan.checkpoint)
        questions = read_questions(plan.data["items"])
        fewest = min(len(question.choices) for question in questions)
        if self.params.choice_orders > fewest:
            raise UsageError(
                f"quality/multiple_choice: choice_orders {self.params.choice_orders} is more than the {fewest} choices "
                "of a question; ask for fewer"
            )
        pool = Pool.of(read_questions(plan.data["shots"]) if "shots" in plan.data else questions, self.params.seed)
        return make_cases(self._case(question, pool) for question in questions)

    def _case(self, question: Question, pool: Pool) -> dict[str, Any]:
        writer = Writer(self.params.form, self.params.prompt)
        shots = pool.shots(question, self.params.num_fewshot)
        prompts = [writer.prompt(question, shots, rotation) for rotation in range(self.params.choice_orders)]
        prompts += [writer.prompt(question, rotated(shots, by)) for by in range(1, self.params.example_orders)]
        return {
            "choices": list(question.choices),
            "label": question.label,
            "prompts": [[prompt.context, list(prompt.continuations)] for prompt in prompts],
        }

    def run(self, scorer: Scorer, cases: Sequence[Case]) -> Iterator[RowDict]:
        """One row per question; every choice of every prompt goes to the scorer together."""
        reader = Reader(scorer, scorer.max_tokens)
        asked = [_asked(reader, case) for case in cases]
        requests = [each.requests[0] for mine in asked if not isinstance(mine, str) for part in mine for each in part]
        answers = iter(scorer.ask(requests))
        for case, mine in zip(cases, asked, strict=True):
            if isinstance(mine, str):
                yield error_row(case, mine)
                continue
            scored = [[next(answers) for _ in part] for part in mine]
            why = next((each.error for part in scored for each in part if each.error is not None), None)
            if why is not None:
                yield error_row(case, why)
            else:
                found = [[float(each.logprobs.sum()) for each in part] for part in scored]
                yield ok_row(case, form=str(self.params.form), **self._columns(case, mine, found))

    def _columns(
        self, case: Case, asked: Sequence[Sequence[Asked]], found: Sequence[Sequence[float]]
    ) -> dict[str, Any]:
        choices, orders = case.data["choices"], self.params.choice_orders
        first = np.array(found[0])
        tokens = [each.scored for each in asked[0]]
        picked = [int(np.argmax(likelihoods)) for likelihoods in found]
        return {
            "label": case.data["label"],
            "predicted": picked[0],
            "by_characters": int(np.argmax(first / [len(choice) for choice in choices])),
            "by_tokens": int(np.argmax(first / tokens)),
            "by_bytes": int(np.argmax(first / [len(choice.encode()) for choice in choices])),
            "loglikelihoods": list(found[0]),
            "tokens": tokens,
            "by_choice_order": picked[:orders],
            "by_example_order": [picked[0], *picked[orders:]],
            "truncated": max(each.truncated for part in asked for each in part),
        }

    def cost(self, cases: Sequence[Case]) -> int:
        """Tokens read: each prompt once, which its choices share, and the choices."""
        prompts = [Prompt(context, tuple(texts)) for case in cases for context, texts in case.data["prompts"]]
        return sum(len(prompt.context) + sum(map(len, prompt.continuations)) for prompt in prompts) // 4


def _asked(reader: Reader, case: Case) -> list[list[Asked]] | str:
    """What to ask, [prompts][choices], or why it cannot be asked."""
    try:
        asked = [
            [reader.asked("loglikelihood", (context, text), 0) for text in texts]
            for context, texts in case.data["prompts"]
        ]
    except UnreadableError as error:
        return str(error)
    for part in asked:
        requests = [each.requests for each in part]
        if requests.count(requests[case.data["label"]]) > 1:  # a tie, which would go to the one that comes first
            return "the tokenizer makes the same tokens of the right choice and of another"
    return asked
