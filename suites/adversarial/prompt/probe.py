"""adversarial/prompt: does a causal language model keep its answer when words of the prompt are changed.

Any black-box recipe of the suite (its transformation, constraints and search) is run after another goal. A query is
one teacher-forced pass: the answer's log-probability, and whether each of its tokens is the argmax, which is when
greedy decoding begins with the answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd
import pandera.pandas as pa
from pandera.typing import Series
from pydantic import Field, field_validator

from harness.api.case import Case, make_cases
from harness.api.checkpoint import CheckpointSource
from harness.api.columns import column
from harness.api.declared import Declared
from harness.api.models import ModelRole
from harness.api.needs import Need, any_of
from harness.api.probe import About, Input, Plan, Probe, ProbeRow, RowDict
from harness.api.scorer import Scorer
from harness.data.datasets import DataSource
from harness.data.schemas import EMPTY, has_text
from harness.errors import DataError, UsageError
from suites.adversarial.attacks.columns import SearchColumns
from suites.adversarial.attacks.models import (
    ROLE_OF,
    ROLES,
    built_from,
    costs_of,
    default_models,
    load_encoder,
    masked_lm,
    roles_of,
)
from suites.adversarial.attacks.params import SearchParams
from suites.adversarial.attacks.run import may_search_apart, pooled_rows
from suites.adversarial.prompt.answers import CHANNEL, AnswerScorer
from suites.adversarial.prompt.attack import PromptBuild, PromptGoalName, attacked_prompt
from suites.adversarial.prompt.metrics import prompt_metrics
from suites.adversarial.recipes import RECIPES, UNTARGETED, Recipe
from suites.adversarial.resources.textattack_env import missing
from suites.adversarial.semantics.columns import SemanticColumns

PROMPTS = DataSource(source=str(Path(__file__).parents[1] / "data" / "prompt_answers.csv"))
"""Beginnings of sentences that common knowledge or a set phrase ends in one or two words, written for this probe."""
PLACE, CONTEXT = "{prompt}", "{context}"
QUERIES_PER_WORD = 6
"""A rough guess for the plan; searches differ much."""


class PromptAnswers(pa.DataFrameModel):
    """Prompts with the answer that should follow, and a text that is shown with the prompt where there is one."""

    prompt: Series[str] = pa.Field(coerce=True)
    answer: Series[str] = pa.Field(coerce=True)
    context: Series[str] | None = pa.Field(coerce=True)

    @pa.check("prompt", "answer", error=EMPTY)
    @classmethod
    def not_empty(cls, values: Series[str]) -> Series[bool]:
        """White space alone asks and answers nothing."""
        return has_text(values)


class PromptParams(SearchParams):
    """Settings."""

    recipe: str = Field(default="deepwordbug", description="black-box recipe whose changes and search are used")
    goal: PromptGoalName = Field(
        default="answer",
        description="answer: greedy decoding no longer begins with it; likelihood: it falls by drop nats per token",
    )
    drop: float = Field(default=1.0, gt=0, le=10, description="nats per token that the likelihood goal asks for")
    template: str = Field(
        default=PLACE, description="what the model reads: {prompt} is attacked, {context} and the rest stay"
    )
    separator: str = Field(
        default=" ", description="stands between prompt and answer, unless either has white space there"
    )

    @field_validator("recipe")
    @classmethod
    def _asks_no_gradients(cls, name: str) -> str:
        fit = [recipe.name for recipe in RECIPES.values() if recipe.black_box and not recipe.reduces]
        if name not in fit:
            raise ValueError(f"{name!r} is no recipe for prompts; there are {', '.join(fit)}")
        return name

    @field_validator("template")
    @classmethod
    def _has_one_place(cls, template: str) -> str:
        if template.count(PLACE) != 1:
            raise ValueError(f"the template must hold {PLACE} once, and holds it {template.count(PLACE)} times")
        return template


class PromptColumns(ProbeRow):
    """A prompt, which the model reads with `before` and `after` around it, before and after.

    matched: greedy decoding begins with the answer; logprob: the mean natural-log probability of the answer's
    answer_tokens tokens; score: what the search makes larger. A skipped prompt (answer goal: not matched to begin
    with) has no perturbed one; of a failed attack it is the last found. recipe is its name and version.
    """

    prompt: Series[str] = column("the prompt, which is attacked")
    before: Series[str] = column("what the model reads before it")
    after: Series[str] = column("what the model reads after it")
    answer: Series[str] = column("the answer that should follow")
    perturbed_prompt: Series[str] = column("the prompt at last; empty where skipped", nullable=True)
    matched: Series[bool] = column("whether greedy decoding begins with the answer at first")
    final_matched: Series[pd.BooleanDtype] = column("whether it does at last", nullable=True)
    logprob: Series[float] = column("mean log-probability per token of the answer at first", "nats", le=0)
    perturbed_logprob: Series[float] = column("the same at last", "nats", le=0, nullable=True)
    answer_tokens: Series[int] = column("tokens of the answer", "tokens", ge=1)
    score: Series[float] = column("what the search makes larger, at first", ge=0, le=1)
    perturbed_score: Series[float] = column("the same at last", ge=0, le=1, nullable=True)
    recipe: Series[str] = column("name and version of the recipe")


class PromptRow(SemanticColumns, SearchColumns, PromptColumns):
    """One row per prompt; diff_spans, words and the semantic columns are of the prompt alone."""


class Prompt(Probe[PromptParams]):
    """Attacks the prompts of a causal LM, many at once."""

    name = "adversarial/prompt"
    about = About(
        summary="How often a language model loses its answer, or finds it less likely, when the prompt is perturbed",
        paper="Zhu et al. 2023, PromptBench (arXiv:2306.04528), who run such recipes on the instruction that many "
        "questions share, where this attacks each prompt by itself; the recipe's own paper and its differences are "
        "those of the suite's probe of that name (one that ranks words by putting [UNK] in their place does so here "
        "too, where it is plain text to the model). Greedy answers are told from teacher forcing, as in "
        "EleutherAI/lm-evaluation-harness (is_greedy of loglikelihood)",
        cannot_tell="whether a reader would still give the answer to the perturbed prompt; whether the model says the "
        "same in other words, since only the reference answer counts, or goes on after it; what sampling would "
        "give. The default prompts are easy and few. A failed attack is no proof of robustness",
    )
    needs = (any_of(Need.CAUSAL_LM),)
    models = ROLES
    inputs = {"prompts": Input(PromptAnswers, "prompts with the answers that should follow", PROMPTS)}  # noqa: RUF012
    pool = 4096
    metrics = prompt_metrics(PromptParams().semantics)
    nothing = "no prompt could be attacked"
    Params = PromptParams
    Row = PromptRow

    @property
    def recipe(self) -> Recipe:
        """Whose changes and search are used."""
        return RECIPES[self.params.recipe]

    @classmethod
    def why_not(cls, offers: frozenset[Need]) -> str | None:
        """Also when TextAttack cannot be had."""
        return super().why_not(offers) or missing()

    def cases(self, plan: Plan) -> list[Case]:
        """One case per prompt. Raises UsageError for what the recipe lacks, DataError for an unfit template."""
        why = self.recipe.why_not(besides=ROLE_OF)
        if why is not None:
            raise UsageError(f"{self.name}, recipe {self.recipe.name}: {why}")
        data = plan.data["prompts"]
        has, wants = "context" in data.frame, CONTEXT in self.params.template
        if has != wants:
            held = f"has {'a' if has else 'no'} column 'context'"
            raise DataError(
                f"{data.source.source}: {held}, and the template {'no' if has else 'a'} place {CONTEXT} for it; "
                f"change the parameter template of {self.name} or the data's columns"
            )
        contexts = data.frame["context"] if has else [""] * len(data.frame)
        return make_cases(
            {"prompt": prompt, "answer": answer, **self._around(context)}
            for prompt, answer, context in zip(data.frame["prompt"], data.frame["answer"], contexts, strict=True)
        )

    def run(self, scorer: Scorer, cases: Sequence[Case]) -> Iterator[RowDict]:
        """One row per prompt. Raises UsageError without TextAttack, ResourceMissing without a resource."""
        why = missing()
        if why is not None:
            raise UsageError(why)
        from suites.adversarial.pooled.asking import handlers  # needs greenlet, which comes with TextAttack's extra
        from suites.adversarial.pooled.make import Setup

        params, recipe = self.params, self.recipe
        build = PromptBuild(recipe.build, params.goal, params.drop)
        common = {"resources": built_from(recipe.resources, self.others), "recipe": f"{recipe.name} {recipe.version}"}
        proposes = masked_lm(recipe, self.others, scorer.device)
        info = None if proposes is None else proposes.info
        yield from pooled_rows(
            Setup(build, UNTARGETED, scorer.info, params.query_budget, masked_lm=info),
            attacked_prompt,
            params,
            cases,
            {
                **handlers(scorer, load_encoder(self.others, scorer.device), proposes),
                CHANNEL: AnswerScorer(scorer, params.separator),
            },
            lambda _: common,
            _texts,
            workers=params.workers if may_search_apart(recipe.resources) else 0,
            ahead=scorer.device != "cpu",
            others=self.others,
        )

    def roles(self) -> Mapping[str, ModelRole]:
        """Those of the recipe, and of the measures of semantics that are taken."""
        return roles_of(self.recipe, self.params.semantics)

    def default_models(self) -> Mapping[str, CheckpointSource]:
        """The resources, where they lie. Raises UsageError for the user's own path that is wrong."""
        return default_models(self.recipe, self.params.semantics)

    def model_costs(self, cases: Sequence[Case]) -> Mapping[str, int]:
        """The search's models read what is tried at most, the others each text twice."""
        return costs_of(self.roles(), self.cost(cases), super().cost(cases))

    def declared(self) -> tuple[Declared, ...]:
        """Accuracy before and after, success raw and filtered, the paired fall of the answer's likelihood, cost."""
        return prompt_metrics(self.params.semantics)

    def cost(self, cases: Sequence[Case]) -> int:
        """Each prompt is read some times per word, at most `query_budget` times."""
        total = 0
        for case in cases:
            queries = 1 + QUERIES_PER_WORD * len(case.data["prompt"].split())
            read = sum(map(len, case.data.values()))
            total += min(queries, self.params.query_budget or queries) * read // 4
        return total

    def _around(self, context: str) -> dict[str, str]:
        before, after = (part.replace(CONTEXT, context) for part in self.params.template.split(PLACE))
        return {"before": before, "after": after}


def _texts(row: RowDict) -> tuple[str, str | None]:
    """Original and perturbed prompt."""
    return row["prompt"], row.get("perturbed_prompt")
