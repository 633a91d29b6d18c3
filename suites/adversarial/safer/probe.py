"""adversarial/safer: how often no substitution of synonyms can change the answer of the smoothed classifier.

The smoothed classifier answers what the model says most often when every word is replaced by a random one of its
perturbation set; `safer_bound` has the theorem. Differs from the paper (Ye, Gong & Liu 2020) and its program:

- synonyms are the words of the vectors, not those of the dataset: a certificate must not depend on which texts are
  audited. Where no counter-fitted vectors are given, GloVe stands in, whose neighbours are not all synonyms;
- similarity is the cosine of the post-processed vectors, as the paper says; its program takes their scalar product;
- words are looked up in lower case and keep their case, signs around them stay; the program looks up what stands
  between blanks, without one sign at its end, as it is written;
- the answer is chosen on a sample of its own and bounded by Clopper-Pearson (Cohen et al. 2019), so that no true label
  is needed; the paper bounds by Hoeffding's inequality. The paper draws 5,000 versions, its program 2,000;
- for more than two classes every other class is bounded, too; the paper's program asks for g(A) - q_X > 1/2.

In text pairs the words of both texts are replaced, unless `side` says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from pandera.typing import Series
from pydantic import Field, model_validator

from harness.api.case import Case
from harness.api.columns import column, list_column
from harness.api.needs import Need, any_of
from harness.api.probe import About, Input, Plan, Probe, ProbeParams, ProbeRow, RowDict, error_row, excluded_row, ok_row
from harness.api.scorer import ClassScores, Scorer, TextRequest
from harness.data.schemas import LabelledTexts
from harness.errors import DataError, NoDataError
from suites.adversarial.cases import case_seed, cut_cases
from suites.adversarial.resources.finding import ResourceMissing
from suites.adversarial.safer.bound import bound_votes, losses, radius
from suites.adversarial.safer.metrics import safer_metrics
from suites.adversarial.safer.smoothing import Smoothed, smoothed
from suites.adversarial.safer.synonym_sources import (
    SynonymSettings,
    SynonymTable,
    find_vectors,
    group_table,
    vector_table,
)
from suites.labels import true_classes
from suites.sources import IMDB_HELD_OUT

EXAMPLES = IMDB_HELD_OUT.model_copy(update={"start": 42_000, "stop": 42_100})
_PARTS = {"both": ("text", "pair"), "first": ("text",), "second": ("pair",)}


class SaferParams(ProbeParams):
    """Settings. How many texts are used is the spec's `limit`."""

    alpha: float = Field(default=0.01, gt=0, lt=0.5, description="chance that a text's answer or certificate is wrong")
    samples: int = Field(default=1000, ge=1, description="random versions that bound the answer (5,000 in the paper)")
    selection_samples: int = Field(default=100, ge=1, description="random versions before them that choose the answer")
    changed_words: int | None = Field(default=None, ge=1, description="most words an attacker changes; None any number")
    synonyms: str | None = Field(default=None, description="file of groups of synonyms; None takes word vectors")
    word_vectors: str | None = Field(default=None, description="vectors (path or pypi source); None as resources say")
    similarity: float = Field(default=0.8, gt=0, le=1, description="least cosine of two synonyms")
    set_size: int = Field(default=100, ge=2, description="most words in a perturbation set, K in the paper")
    components: int = Field(default=8, ge=0, description="principal components the vectors lose, with their mean")
    vocabulary: int = Field(default=70_000, ge=2, description="words of the vectors that are used, from the first on")
    side: Literal["both", "first", "second"] = Field(
        default="both", description="in which texts of a pair words change"
    )
    max_words: int | None = Field(default=None, ge=1, description="use only the first words of each text; None all")
    seed: int = Field(default=0, description="with a case's id, seeds its random versions")

    @model_validator(mode="after")
    def _can_certify(self) -> Self:
        if self.alpha ** (1 / self.samples) <= 0.5:
            raise ValueError(f"{self.samples} samples at alpha {self.alpha:g} can certify nothing; draw more samples")
        if self.synonyms is not None and self.word_vectors is not None:
            raise ValueError("synonyms and word_vectors are two sources of synonyms; give one")
        return self


class SaferRow(ProbeRow):
    """One row per text (or pair).

    p_low bounds the share of
    smoothed_predicted from below, p_other_high that of any other class from above. radius is the most words that may be
    changed without changing the smoothed answer (empty where abstained), certified that it reaches changed_words, or
    substitutable_words where that is less or changed_words is empty. lost is q_X there. set_words sums the sizes of the
    perturbation sets of the substitutable words. A text without such a word is excluded: there is
    nothing to certify.
    """

    text: Series[str] = column("the text")
    pair: Series[str] = column("its second text, of pairs", nullable=True)
    label: Series[int] = column("true class, by index", ge=0)
    predicted: Series[int] = column("class the classifier itself predicts, by index", ge=0)
    score: Series[float] = column("probability it gives the true class", ge=0, le=1 + 1e-9)
    smoothed_predicted: Series[int] = column("class the smoothed classifier answers, by index", ge=0)
    abstained: Series[bool] = column("whether that answer is too uncertain to be given")
    certified: Series[bool] = column("whether no allowed change of words changes the smoothed answer")
    radius: Series[pd.Int64Dtype] = column(
        "most words that may change without changing it; empty where abstained", "words", ge=0, nullable=True
    )
    votes: Series[object] = list_column("versions that got each class, of those that bound", "versions", of="int64")
    selection_votes: Series[object] = list_column(
        "versions that got each class, of those that choose", "versions", of="int64"
    )
    p_low: Series[float] = column("lower bound of the share of the smoothed answer", "rate", ge=0, le=1)
    p_other_high: Series[float] = column("upper bound of the share of any other class", "rate", ge=0, le=1)
    lost: Series[float] = column("share of versions that the allowed changes can turn, at most", "rate", ge=0, le=1)
    alpha: Series[float] = column("chance that answer or certificate is wrong", "rate", gt=0, lt=0.5)
    changed_words: Series[pd.Int64Dtype] = column(
        "most words an attacker changes; empty: any number", "words", ge=1, nullable=True
    )
    words: Series[int] = column("words of the text", "words", ge=1)
    substitutable_words: Series[int] = column("words that have synonyms", "words", ge=1)
    set_words: Series[int] = column("sizes of their perturbation sets, summed", "words", ge=2)
    mean_set_size: Series[float] = column("mean size of these sets", "words", ge=2)
    distinct_versions: Series[int] = column("different texts among the random versions", "versions", ge=1)
    words_cut: Series[int] = column("words left out at the end", "words", ge=0)
    truncated: Series[int] = column("tokens of the text that the model cannot read", "tokens", ge=0)
    synonyms: Series[str] = column("where the synonyms come from")


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is asked for one case: the text as it is, and its random versions, those that select first."""

    original: TextRequest
    versions: Sequence[TextRequest]


class Safer(Probe[SaferParams]):
    """Certified accuracy of a text classifier, smoothed over synonyms, under substitution of synonyms."""

    name = "adversarial/safer"
    about = About(
        summary="How often the classifier, smoothed over random synonyms, is right whichever synonyms replace words",
        paper="Ye, Gong & Liu 2020, SAFER: A Structure-free Approach for Certified Robustness to Adversarial Word "
        "Substitutions (arXiv:2005.14424); chosen and bounded as in Cohen et al. 2019 (arXiv:1902.02918)",
        cannot_tell="anything of the classifier as it is: the certificate is of the smoothed one, which has to be "
        "deployed to have it, while attacks measure the classifier itself; how it is with words outside the synonym "
        "table, whose entries need not be synonyms, or with insertions, deletions and misspellings; a text that is not "
        "certified may be robust, and a model that was not trained on random synonyms is seldom certified",
    )
    needs = (any_of(Need.SEQUENCE_CLASSIFIER),)
    inputs = {"examples": Input(LabelledTexts, "texts with their true labels", EXAMPLES)}  # noqa: RUF012
    metrics = safer_metrics()
    nothing = "no text could be smoothed"
    Params = SaferParams
    Row = SaferRow

    def cases(self, plan: Plan) -> list[Case]:
        """One case per text (or pair), with the id it has for attacks. Raises DataError where `side` needs pairs.

        Raises DataError or UsageError where the synonyms are missing, before a model is loaded.
        """
        dataset = plan.data["examples"]
        if self.params.side == "second" and "pair" not in dataset.frame:
            raise DataError(f"{dataset.source.source}: no column 'pair', but side is 'second'; leave side out")
        classes = true_classes(plan, "examples", EXAMPLES)
        if self.params.synonyms is None:
            try:
                find_vectors(self.params.word_vectors)
            except ResourceMissing as error:  # an audit of every probe that applies goes on without this one
                raise NoDataError(str(error)) from error
        else:
            self._table()
        return cut_cases(dataset.frame, classes, self.params.max_words)

    def run(self, scorer: Scorer, cases: Sequence[Case]) -> Iterator[RowDict]:
        """One row per case; each distinct text of all of them goes to the model once, together."""
        table = self._table()
        found = [smoothed(_texts(case), self._parts(case), table.sets) for case in cases]
        asked = [self._ask(case, each) if each.places else None for case, each in zip(cases, found, strict=True)]
        wanted = (request for each in asked if each is not None for request in (each.original, *each.versions))
        distinct = list(dict.fromkeys(wanted))
        answers = dict(zip(distinct, scorer.ask(distinct), strict=True)) if distinct else {}
        for case, each, requests in zip(cases, found, asked, strict=True):
            if requests is None:
                why = "the text has no word" if not each.words else f"none of its {each.words} words has a synonym"
                yield excluded_row(case, f"{why} ({table.described})")
            else:
                yield self._row(case, each, requests, answers, table)

    def cost(self, cases: Sequence[Case]) -> int:
        """Each text is read once, and once per random version; at most, since equal versions are read once."""
        return super().cost(cases) * (1 + self.params.selection_samples + self.params.samples)

    def _table(self) -> SynonymTable:
        params = self.params
        settings = SynonymSettings(params.set_size, params.similarity, params.components, params.vocabulary)
        if params.synonyms is not None:
            return group_table(params.synonyms, settings)
        return vector_table(find_vectors(params.word_vectors), settings)

    def _parts(self, case: Case) -> list[str]:
        return [name for name in _PARTS[self.params.side] if name in _texts(case)]

    def _ask(self, case: Case, each: Smoothed) -> _Asked:
        random = np.random.default_rng(case_seed(self.params.seed, f"{case.id}:safer"))
        versions = each.versions(self.params.selection_samples + self.params.samples, random)
        return _Asked(TextRequest(case.data["text"], case.data.get("pair")), versions)

    def _row(
        self,
        case: Case,
        each: Smoothed,
        asked: _Asked,
        answers: Mapping[TextRequest, ClassScores],
        table: SynonymTable,
    ) -> RowDict:
        answer = answers[asked.original]
        broken = [request for request in asked.versions if answers[request].error is not None]
        if answer.error is not None:
            return error_row(case, f"the text: {answer.error}")
        if broken:
            why = answers[broken[0]].error
            return error_row(
                case, f"{len(broken)} of {len(asked.versions)} random versions, such as {broken[0]}: {why}"
            )
        label, sizes = case.data["label"], [len(place.words) for place in each.places]
        return ok_row(
            case,
            text=case.data["text"],
            pair=case.data.get("pair"),
            label=label,
            predicted=answer.label,
            score=float(answer.probabilities[label]),
            **self._certificate(each, [answers[request].label for request in asked.versions], len(answer.logits)),
            alpha=self.params.alpha,
            changed_words=self.params.changed_words,
            words=each.words,
            substitutable_words=len(sizes),
            set_words=sum(sizes),
            mean_set_size=sum(sizes) / len(sizes),
            distinct_versions=len(set(asked.versions)),
            words_cut=case.data["words_cut"],
            truncated=answer.truncated,
            synonyms=table.described,
        )

    def _certificate(self, each: Smoothed, labels: Sequence[int], classes: int) -> dict[str, Any]:
        """The columns that follow from what the versions were classified as, in the order they were drawn."""
        params, first = self.params, self.params.selection_samples
        selecting = np.bincount(labels[:first], minlength=classes)
        votes = np.bincount(labels[first:], minlength=classes)
        chosen = int(np.argmax(selecting))
        bounds = bound_votes(votes.tolist(), chosen, params.alpha)
        lost = losses([place.overlap for place in each.places])
        reach = len(each.places) if params.changed_words is None else min(params.changed_words, len(each.places))
        most = radius(bounds, lost)
        return {
            "smoothed_predicted": chosen,
            "abstained": most is None,
            "certified": most is not None and most >= reach,
            "radius": most,
            "votes": votes.tolist(),
            "selection_votes": selecting.tolist(),
            "p_low": bounds.low,
            "p_other_high": bounds.other_high,
            "lost": float(lost[reach]),
        }


def _texts(case: Case) -> dict[str, str]:
    return {name: case.data[name] for name in ("text", "pair") if case.data.get(name) is not None}
