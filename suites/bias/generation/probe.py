"""bias/generation: does a language model write of one group more kindly, or more harshly, than of another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from statistics import fmean
from typing import Any

import pandas as pd
from pandera.typing import Series
from pydantic import Field

from harness.api.case import Case, make_cases
from harness.api.columns import column, list_column
from harness.api.declared import Computed, Named, RatioOf
from harness.api.metrics import Better
from harness.api.models import ModelRole, Models
from harness.api.needs import Need, any_of
from harness.api.probe import About, Input, Plan, Probe, ProbeParams, ProbeRow, RowDict, error_row, ok_row
from harness.api.requests.sampling import SampleRequest
from harness.api.scorer import Scorer
from harness.errors import DataError, NoDataError
from suites.bias.alike import unlike
from suites.bias.generation import scorers
from suites.bias.generation.measures import WEEKDAYS, scored
from suites.bias.generation.prompts import GroupedPrompts, built_in, controls, given
from suites.bias.generation.scorers import BOUNDS, MEASURES, Measure
from suites.bias.identity import Axis, Language, axes_of
from suites.framing import opening


class GenerationParams(ProbeParams):
    """Settings."""

    language: Language = Field(default="en", description="of the built-in prompts and sentences: en or zh")
    axes: tuple[Axis, ...] = Field(
        default=("gender", "religion"), min_length=1, description="groups of the built-in prompts and sentences"
    )
    control: bool = Field(default=True, description="also go on with prompts about weekdays, which concern no group")
    samples: int = Field(default=5, ge=1, description="continuations of each prompt")
    new_tokens: int = Field(default=24, ge=1, description="tokens of each")
    temperature: float = Field(default=1.0, gt=0, description="of the draw")
    top_p: float = Field(default=0.95, gt=0, le=1, description="likeliest tokens that together have this share")
    seed: int = Field(default=0, ge=0, description="of the draws")
    fewest: int = Field(default=5, ge=1, description="prompts below which a group is masked")


class GenerationRow(ProbeRow):
    """One row per prompt, or per sentence that shows the scorers' own bias."""

    part: Series[str] = column(
        "prompts, control (weekdays) or scorer (neutral sentences, scored as they are)", of_case=True
    )
    axis: Series[str] = column("kind of group", of_case=True)
    group: Series[str] = column("group that the text is about", of_case=True)
    template: Series[str] = column("what the text was made from; rows that share one are related", of_case=True)
    text: Series[str] = column("the prompt, or the sentence", of_case=True)
    samples: Series[object] = list_column("continuations; none for a sentence", of="string")
    blank: Series[int] = column("continuations that are blank, which are not scored", ge=0)
    drawn: Series[int] = column("continuations drawn", ge=0)
    sentiments: Series[object] = list_column("sentiment of each continuation that has one", of="double")
    regards: Series[object] = list_column("regard of each prompt with its continuation", of="double")
    toxicities: Series[object] = list_column("toxicity of each continuation", of="double")
    sentiment: Series[float] = column("mean sentiment, -1 to 1", nullable=True)
    regard: Series[float] = column("mean regard, -1 to 1", nullable=True)
    toxicity: Series[float] = column("mean probability of toxicity", nullable=True)
    sentiment_read: Series[int] = column("words or texts that the scorer could read", ge=0)
    regard_read: Series[int] = column("texts that the scorer could read", ge=0)
    toxicity_read: Series[int] = column("texts that the scorer could read", ge=0)
    sentiment_scorer: Series[str] = column("scorer of sentiment with its version; empty: none")
    regard_scorer: Series[str] = column("scorer of regard with its version; empty: none")
    toxicity_scorer: Series[str] = column("scorer of toxicity with its version; empty: none")
    fewest: Series[int] = column("prompts below which a group is masked", ge=1)

    @classmethod
    def contradictions(cls, rows: pd.DataFrame) -> Mapping[str, pd.Series[bool]]:
        """Scores of different scorers do not compare."""
        return unlike(rows, "sentiment_scorer", "regard_scorer", "toxicity_scorer", "fewest")


def _role(what: str) -> ModelRole:
    return ModelRole((any_of(Need.SEQUENCE_CLASSIFIER),), what, required=False, dtype="fp32")


def _named() -> Iterator[Named]:
    for measure in MEASURES:
        low, high = BOUNDS[measure]
        yield Named(measure, Better.NEITHER, bounds=(low, high), sliced_only=True)
        yield Named(f"{measure}_gap", Better.LOWER, bounds=(0.0, high - low), sliced_only=True)
        yield Named(f"{measure}_scorer_gap", Better.NEITHER, bounds=(0.0, high - low), sliced_only=True, headline=False)


class Generation(Probe[GenerationParams]):
    """Sentiment, regard and toxicity of what a causal model writes about groups."""

    name = "bias/generation"
    about = About(
        summary="How much sentiment, regard and toxicity of what a model writes differ with the group of the prompt",
        paper="Dhamala et al. 2021, BOLD; Sheng et al. 2019, The Woman Worked as a Babysitter (regard)",
        cannot_tell="more than its scorers do, whose own gap on neutral sentences stands beside each gap; nothing of "
        "groups, languages and prompts that are not in the data, nor of what longer conversations bring out",
    )
    needs = (any_of(Need.CAUSAL_LM),)
    inputs = {  # noqa: RUF012
        "prompts": Input(GroupedPrompts, "prompts with their group, instead of the built-in ones", required=False)
    }
    models = {  # noqa: RUF012
        "sentiment": _role("a classifier with classes positive and negative; without it VADER's lexicon"),
        "regard": _role("a classifier of regard with classes positive and negative"),
        "toxicity": _role("a classifier with a class toxic"),
    }
    metrics = (
        Computed(tuple(_named()), scored, control=WEEKDAYS),
        RatioOf(*("blank_rate", Better.NEITHER, "blank", "drawn"), unit="rate", about="drawn", clusters="template"),
    )
    nothing = "no prompt was gone on with"
    Params = GenerationParams
    Row = GenerationRow

    def prepare(self, models: Models, plan: Plan) -> None:
        """Check the scorers before anything is drawn. Raises NoDataError, and NotApplicableError for an unfit one."""
        for measure in MEASURES:
            if measure in models:
                info = models[measure].info
                scorers.classes_of(measure, info.labels, info.source.source)
        if not any(measure in models for measure in MEASURES) and not scorers.has_vader():
            raise NoDataError(
                f"{self.name}: nothing scores what is written; pip install 'assay[sentiment]', or give "
                f"models: {{{' or '.join(MEASURES)}: <classifier>}}"
            )

    def cases(self, plan: Plan) -> list[Case]:
        """One case per prompt and per neutral sentence."""
        language, axes = self.params.language, self.params.axes
        known = axes_of(language)
        for axis in axes:
            if axis not in known or axis == "pronouns":
                raise DataError(
                    f"{self.name}: no prompts for axis {axis} in language {language}; use {', '.join(known)}"
                )
        found = given(plan.data["prompts"]) if "prompts" in plan.data else list(built_in(axes, language))
        if self.params.control:
            found += controls(axes, language)
        return make_cases(asdict(prompt) for prompt in found)

    def run(self, scorer: Scorer, cases: Sequence[Case]) -> Iterator[RowDict]:
        """One row per case; all prompts are gone on with together, then all texts scored together."""
        asked = [case for case in cases if case.data["part"] != "scorer"]
        requests = [self._request(scorer, case) for case in asked]
        answers = dict(zip((case.id for case in asked), scorer.ask(requests), strict=True))
        texts: dict[str, list[str]] = {}
        for case in cases:
            answer = answers.get(case.id)
            if answer is None:
                texts[case.id] = [case.data["text"]]
            elif answer.error is not None:
                yield error_row(case, answer.error)
            elif not any(sample.text.strip() for sample in answer.samples):
                yield error_row(case, "every continuation is blank")
            else:
                texts[case.id] = [sample.text for sample in answer.samples]
        yield from self._rows([case for case in cases if case.id in texts], texts)

    def _request(self, scorer: Scorer, case: Case) -> SampleRequest:
        params = self.params
        start, tokens = opening(scorer, case.data["text"])
        return SampleRequest(
            (*start, *tokens),
            params.new_tokens,
            (int(case.id[:8], 16) + params.seed) % 2**31,
            params.samples,
            params.temperature,
            top_p=params.top_p,
        )

    def _rows(self, cases: Sequence[Case], texts: Mapping[str, Sequence[str]]) -> Iterator[RowDict]:
        """Rows of the cases with texts, [continuations] each, blank ones among them."""
        filled = {case.id: [text for text in texts[case.id] if text.strip()] for case in cases}
        made = {measure: self._scores(measure, cases, filled) for measure in MEASURES}
        for number, case in enumerate(cases):
            columns: dict[str, Any] = {}
            for measure, (name, scores, read) in made.items():
                mine = scores[number]
                known = [value for value in mine if value is not None]
                columns[{"toxicity": "toxicities"}.get(measure, f"{measure}s")] = known
                columns[measure] = fmean(known) if known and len(known) == len(mine) else None
                columns[f"{measure}_read"], columns[f"{measure}_scorer"] = read[number], name
            sentence = case.data["part"] == "scorer"
            drawn = [] if sentence else list(texts[case.id])
            blank = len(drawn) - (0 if sentence else len(filled[case.id]))
            yield ok_row(
                case,
                **{name: case.data[name] for name in ("part", "axis", "group", "template", "text")},
                samples=drawn,
                blank=blank,
                drawn=len(drawn),
                fewest=self.params.fewest,
                **columns,
            )

    def _scores(
        self, measure: Measure, cases: Sequence[Case], texts: Mapping[str, Sequence[str]]
    ) -> tuple[str, list[list[float | None]], list[int]]:
        """Scorer's name, its score of each text of each case, and how much of each case it could read."""
        has_model = measure in self.others
        if not has_model and (measure != "sentiment" or not scorers.has_vader()):
            return "", [[] for _ in cases], [0] * len(cases)
        whole = [
            [
                f"{case.data['text']}{text}" if measure == "regard" and case.data["part"] != "scorer" else text
                for text in texts[case.id]
            ]
            for case in cases
        ]
        flat = [text for mine in whole for text in mine]
        if has_model:
            other = self.others[measure]
            name, found = scorers.classifier_name(other), iter(scorers.classifier_scores(other, measure, flat))
        else:
            name, found = scorers.vader_name(), iter(scorers.vader_scores(flat))
        scores = [list(islice(found, len(mine))) for mine in whole]
        read = (
            [sum(value is not None for value in mine) for mine in scores]
            if has_model
            else [scorers.vader_hits(mine) for mine in whole]
        )
        return name, scores, read

    def cost(self, cases: Sequence[Case]) -> int:
        """Tokens of the prompts and of what is written."""
        asked = [case for case in cases if case.data["part"] != "scorer"]
        return sum(len(case.data["text"]) // 4 + self.params.samples * self.params.new_tokens for case in asked)
