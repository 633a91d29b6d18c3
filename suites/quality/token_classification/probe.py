"""quality/token_classification: does a tagger find the entities that are there, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandera.pandas as pa
from pandera.typing import Series
from pydantic import Field

from harness.api.case import Case, make_cases
from harness.api.columns import column, list_column
from harness.api.declared import Declared
from harness.api.needs import Need, any_of
from harness.api.probe import About, Input, Plan, Probe, ProbeParams, ProbeRow, RowDict, error_row, ok_row
from harness.api.requests.heads import TagRequest, Tags
from harness.api.scorer import Floats, Scorer
from harness.base.hints import did_you_mean
from harness.data.schemas import EMPTY, LISTS, has_text
from harness.errors import NotApplicableError, WrongDataError
from suites.quality.token_classification.entities import OUTSIDE, Scheme, read_tag
from suites.quality.token_classification.metrics import ACCURACY, BY_TYPE, UNREAD, entity_metrics
from suites.quality.token_classification.words import first_tokens, words_of


class TaggedWords(pa.DataFrameModel):
    """Sentences, each with a tag per word: both between blanks, or as lists."""

    tokens: Series[str] = pa.Field(coerce=True, metadata={LISTS: True})
    tags: Series[str] = pa.Field(coerce=True, metadata={LISTS: True})

    @pa.check("tokens", error=EMPTY)
    @classmethod
    def some_words(cls, values: Series[str]) -> Series[bool]:
        """A sentence has words."""
        return has_text(values)

    @pa.check("tags", error=EMPTY)
    @classmethod
    def some_tags(cls, values: Series[str]) -> Series[bool]:
        """And tags."""
        return has_text(values)


class TokenClassificationParams(ProbeParams):
    """Settings."""

    scheme: Scheme = Field(default=Scheme.IOB2, description="by which the strict metrics read tags")


class TaggedRow(ProbeRow):
    """One row per sentence."""

    true: Series[object] = list_column("true tag of each word", of="string")
    predicted: Series[object] = list_column("tag of each word's first token", of="string")
    confidence: Series[object] = list_column("probability of that tag; NaN for a word not read", of="double")
    unread: Series[int] = column("words of which the model read nothing", "words", ge=0)
    truncated: Series[int] = column("tokens of the sentence that the model cannot read", "tokens", ge=0)


class TokenClassification(Probe[TokenClassificationParams]):
    """Entity F1 of a tagger."""

    name = "quality/token_classification"
    about = About(
        summary="How many entities a tagger finds, and how many of those it finds are there",
        paper="Tjong Kim Sang & De Meulder 2003, CoNLL-2003 (exact match of type and span); strict as seqeval",
        cannot_tell="how near a wrong span is: an entity with one word too many is a miss and a false find",
    )
    needs = (any_of(Need.TOKEN_CLASSIFIER),)
    inputs = {"tagged": Input(TaggedWords, "words and their tags, `tokens` and `tags`")}  # noqa: RUF012
    metrics = (*entity_metrics(Scheme.IOB2), BY_TYPE, ACCURACY, UNREAD)
    nothing = "no sentence could be tagged"
    Params = TokenClassificationParams
    Row = TaggedRow

    def declared(self) -> tuple[Declared, ...]:
        """With strict metrics of the scheme that is set."""
        return (*entity_metrics(self.params.scheme), BY_TYPE, ACCURACY, UNREAD)

    def cases(self, plan: Plan) -> list[Case]:
        """One case per sentence. Raises WrongDataError for tags that are none or not the model's."""
        types = _types(plan)
        data = plan.data["tagged"]
        where, renamed = data.source.source, data.source.label_map
        found = []
        for row, (tokens, tags) in enumerate(zip(data.frame["tokens"], data.frame["tags"], strict=True), 1):
            words, given = words_of(tokens), words_of(tags)
            if not words or len(words) != len(given):
                raise WrongDataError(
                    f"{where}: row {row} has {len(words)} words and {len(given)} tags; give one a word"
                )
            found.append({"words": words, "tags": [_tag(tag, types, renamed, f"{where}: row {row}") for tag in given]})
        return make_cases(found)

    def run(self, scorer: Scorer, cases: Sequence[Case]) -> Iterator[RowDict]:
        """One row per sentence, read with a blank between its words."""
        labels = scorer.info.labels
        answers = scorer.ask([TagRequest(" ".join(case.data["words"])) for case in cases])
        for case, answer in zip(cases, answers, strict=True):
            yield error_row(case, answer.error) if answer.error is not None else _row(case, answer, labels)

    def cost(self, cases: Sequence[Case]) -> int:
        """Characters / 4."""
        return sum(len(word) + 1 for case in cases for word in case.data["words"]) // 4


def _types(plan: Plan) -> set[str]:
    """Types of the model's tags. Raises NotApplicableError where its labels are no tags."""
    read = {label: read_tag(label) for label in plan.checkpoint.labels}
    wrong = [label for label, tag in read.items() if tag is None]
    if wrong or not read:
        raise NotApplicableError(
            f"needs entity tags such as O, B-PER, I-PER; a label of the model is {wrong[0]!r}"
            if wrong
            else "needs entity tags; the model's config names no labels"
        )
    return {tag.kind for tag in read.values() if tag is not None and tag.place != OUTSIDE}


def _tag(given: str, types: set[str], renamed: Mapping[str, str], where: str) -> str:
    """A tag of the data as the model's types name it: `label_map` may rename the tag, or its type alone."""
    tag = renamed.get(given, given)
    place, sign, kind = tag.partition("-")
    tag = f"{place}{sign}{renamed.get(kind, kind)}"
    read = read_tag(tag)
    if read is None:
        raise WrongDataError(f"{where} has the tag {given!r}, which is none like O, B-PER or I-PER; correct or map it")
    if read.place != OUTSIDE and read.kind not in types:
        raise WrongDataError(
            f"{where} has the entity type {read.kind!r}, the model's are {', '.join(sorted(types)) or 'none'}"
            f"{did_you_mean(read.kind, sorted(types))}; map it with label_map: {{{read.kind}: <type>}}"
        )
    return tag


def _row(case: Case, answer: Tags, labels: Sequence[str]) -> RowDict:
    places = first_tokens(case.data["words"], answer)
    chosen = answer.labels
    sure = _largest(answer.logits)
    return ok_row(
        case,
        true=case.data["tags"],
        predicted=[OUTSIDE if at is None else labels[chosen[at]] for at in places],
        confidence=[float("nan") if at is None else float(sure[at]) for at in places],
        unread=sum(at is None for at in places),
        truncated=answer.truncated,
    )


def _largest(logits: Floats) -> Floats:
    """Softmax probability of each token's likeliest label, [tokens]."""
    if not logits.size:
        return np.empty(0)
    return np.asarray(1 / np.exp(logits - logits.max(axis=1, keepdims=True)).sum(axis=1))
