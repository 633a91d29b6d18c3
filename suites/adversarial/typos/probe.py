"""adversarial/typos: does a classifier stay right when texts have typing errors, bad scans, look-alikes.

No search: every text is spoilt at random in each way at each severity, without asking the model, so this is the
noise a deployed model meets, and a lower bound of what an attacker can do. Differs from the papers:

- severity is the share of words that are changed (of those a kind can change, rounded up) and each gets
  `edits_per_word` edits; Eger et al. draw every character by itself, Boucher et al. search for the worst places;
- mistyped words (keyboard, swap, drop, repeat) have four characters or more and keep their first and last, as in
  Pruthi et al., who also search; Belinkov & Bisk swap inner letters in every word;
- tables are Assay's own: letters that touch on a US keyboard, about 40 scanning confusions, about 35 look-alikes.

In text pairs both texts are spoilt, each at the severity, unless `side` says otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pandera.typing import Series
from pydantic import Field, field_validator

from harness.api.case import Case
from harness.api.columns import column, list_column
from harness.api.needs import Need, any_of
from harness.api.probe import About, Input, Plan, Probe, ProbeParams, ProbeRow, RowDict, error_row, excluded_row, ok_row
from harness.api.scorer import ClassScores, Scorer, TextRequest
from harness.data.schemas import LabelledTexts
from harness.errors import DataError
from suites.adversarial.cases import case_seed, cut_cases
from suites.adversarial.typos.corruptions import KINDS, WHY_NOT, Corrupted, Kind, changed_spans, corrupt, count_words
from suites.adversarial.typos.metrics import typo_metrics
from suites.labels import true_classes
from suites.sources import IMDB_HELD_OUT

EXAMPLES = IMDB_HELD_OUT.model_copy(update={"start": 42_000, "stop": 42_200})
_UNKNOWN = frozenset({"[UNK]", "<unk>", "<UNK>", "\u2047"})
"""How tokenizers show a token for what they have no token for."""
_PARTS = {"both": ("text", "pair"), "first": ("text",), "second": ("pair",)}


class TyposParams(ProbeParams):
    """Settings. How many texts are used is the spec's `limit`."""

    kinds: tuple[Kind, ...] = Field(default=KINDS, min_length=1, description="ways to spoil a text")
    severities: tuple[float, ...] = Field(
        default=(0.05, 0.1, 0.2, 0.4), min_length=1, description="shares of words that are changed, ascending"
    )
    edits_per_word: int = Field(
        default=1, ge=1, le=20, description="edits in each word that is changed, if it has room"
    )
    side: Literal["both", "first", "second"] = Field(default="both", description="which texts of a pair are spoilt")
    max_words: int | None = Field(default=None, ge=1, description="use only the first words of each text; None all")
    seed: int = Field(default=0, description="with a case's id and the kind, seeds which words are changed and how")

    @field_validator("kinds")
    @classmethod
    def _each_once(cls, kinds: tuple[Kind, ...]) -> tuple[Kind, ...]:
        if len(set(kinds)) < len(kinds):
            raise ValueError("each kind may stand once")
        return kinds

    @field_validator("severities")
    @classmethod
    def _shares_ascend(cls, severities: tuple[float, ...]) -> tuple[float, ...]:
        if not all(0 < severity <= 1 for severity in severities):
            raise ValueError("a severity is a share of words, above 0 and at most 1")
        if list(severities) != sorted(set(severities)):
            raise ValueError("severities must ascend, each once")
        return severities


class TyposRow(ProbeRow):
    """One row per text (or pair) with all its versions.

    versions is a JSON list of objects: kind, severity, text (and pair), spans (and pair_spans: [start, end] of each
    changed word in the text and in the version), changed and changeable words, edits, tokens, unknown_tokens,
    predicted, probabilities. not_applicable is a JSON object, kind -> why it cannot change the text. perturbed_text
    (and _pair, _predicted, _score, _kind, _severity) is the version with the least probability of the true class, which
    scores are; flips counts the versions classified unlike the text. Special tokens are not counted; truncated counts
    the tokens of the text that the model cannot read.
    """

    text: Series[str] = column("the text as it is")
    pair: Series[str] = column("its second text, of pairs", nullable=True)
    label: Series[int] = column("true class, by index", ge=0)
    predicted: Series[int] = column("class predicted of the text as it is, by index", ge=0)
    score: Series[float] = column("probability of the true class", ge=0, le=1 + 1e-9)
    probabilities: Series[object] = list_column("probability of each class, in order of index", of="double")
    perturbed_text: Series[str] = column("the version with the least probability of the true class")
    perturbed_pair: Series[str] = column("its second text, of pairs", nullable=True)
    perturbed_predicted: Series[int] = column("class predicted of that version, by index", ge=0)
    perturbed_score: Series[float] = column("probability of the true class of that version", ge=0, le=1 + 1e-9)
    perturbed_kind: Series[str] = column("how that version was spoilt")
    perturbed_severity: Series[float] = column("share of words changed in it", "rate", gt=0, le=1)
    flips: Series[int] = column("versions classified unlike the text", "versions", ge=0)
    words: Series[int] = column("words of the text", "words", ge=1)
    words_cut: Series[int] = column("words left out at its end", "words", ge=0)
    tokens: Series[int] = column("tokens of the text, special ones not counted", "tokens", ge=0)
    unknown_tokens: Series[int] = column("of these, unknown ones", "tokens", ge=0)
    truncated: Series[int] = column("tokens of the text that the model cannot read", "tokens", ge=0)
    not_applicable: Series[str] = column("JSON object: kind of error -> why it cannot change the text")
    versions: Series[str] = column("JSON list of all versions, each an object")


@dataclass(frozen=True, slots=True)
class _Version:
    """One spoilt version of a case; `spoilt` holds the texts that were to be changed, by name."""

    kind: Kind
    severity: float
    request: TextRequest
    spoilt: dict[str, Corrupted]


class Typos(Probe[TyposParams]):
    """Accuracy of a text classifier under typing errors, scanning errors, look-alike and invisible characters."""

    name = "adversarial/typos"
    about = About(
        summary="How accuracy falls as more words are mistyped, badly scanned, or hold look-alike or invisible letters",
        paper="Belinkov & Bisk 2018 (arXiv:1711.02173), Pruthi et al. 2019 (arXiv:1905.11268); look-alikes: Eger et al."
        " 2019 (arXiv:1903.11508); invisible characters: Boucher et al. 2022 (arXiv:2106.09898); here at random places,"
        " by share of words, with tables of Assay's own",
        cannot_tell="what an attacker who searches for the worst places achieves, who does at least as well; how it is "
        "with real users' errors, other keyboards or languages than English; whether a reader still gets the meaning "
        "at high severities (a dropped letter can make another word); an uncased model does not see case, and some "
        "tokenizers drop invisible characters: that is robustness of the tokenizer",
    )
    needs = (any_of(Need.SEQUENCE_CLASSIFIER),)
    inputs = {"examples": Input(LabelledTexts, "texts with their true labels", EXAMPLES)}  # noqa: RUF012
    metrics = typo_metrics()
    nothing = "no text could be classified"
    Params = TyposParams
    Row = TyposRow

    def cases(self, plan: Plan) -> list[Case]:
        """One case per text (or pair), each cut to `max_words`. Raises DataError where `side` needs pairs."""
        dataset = plan.data["examples"]
        if self.params.side == "second" and "pair" not in dataset.frame:
            raise DataError(f"{dataset.source.source}: no column 'pair', but side is 'second'; leave side out")
        classes = true_classes(plan, "examples", EXAMPLES)
        return cut_cases(dataset.frame, classes, self.params.max_words)

    def run(self, scorer: Scorer, cases: Sequence[Case]) -> Iterator[RowDict]:
        """One row per case; each distinct text of all of them goes to the model once, together."""
        found = [self._versions(case) for case in cases]
        requests = [
            [_request(case.data), *(v.request for v in mine)] for case, (mine, _) in zip(cases, found, strict=True)
        ]
        distinct = list(dict.fromkeys(request for each in requests for request in each))
        answers = dict(zip(distinct, scorer.ask(distinct), strict=True))
        tokens = _Tokens(scorer)
        for case, (versions, not_applicable) in zip(cases, found, strict=True):
            yield _row(tokens, case, versions, not_applicable, answers)

    def cost(self, cases: Sequence[Case]) -> int:
        """Each text is read once, and once per kind and severity."""
        return super().cost(cases) * (1 + len(self.params.kinds) * len(self.params.severities))

    def _versions(self, case: Case) -> tuple[list[_Version], dict[str, str]]:
        """The case's versions, and why the kinds that give none cannot change it."""
        params = self.params
        names = [name for name in _PARTS[params.side] if case.data.get(name) is not None]
        versions: list[_Version] = []
        not_applicable: dict[str, str] = {}
        for kind in params.kinds:
            spoilt = {
                name: corrupt(
                    case.data[name],
                    kind,
                    params.severities,
                    case_seed(params.seed, f"{case.id}:{kind}:{name}"),
                    params.edits_per_word,
                )
                for name in names
            }
            if not any(each[0].changeable for each in spoilt.values()):
                not_applicable[kind] = WHY_NOT[kind]
                continue
            for at, severity in enumerate(params.severities):
                here = {name: each[at] for name, each in spoilt.items()}
                texts = {**case.data, **{name: each.text for name, each in here.items()}}
                versions.append(_Version(kind, severity, _request(texts), here))
        return versions, not_applicable


class _Tokens:
    """Counts tokens and unknown ones; looks each token up once."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        self._unknown: dict[int, bool] = {}

    def count(self, request: TextRequest) -> dict[str, int]:
        """Tokens of a text or pair, special ones not counted, and how many of them are unknown."""
        texts = (request.text, *(() if request.pair is None else (request.pair,)))
        tokens = [token for text in texts for token in self._scorer.encode(text, special=False)]
        for token in set(tokens) - self._unknown.keys():
            self._unknown[token] = self._scorer.decode((token,)).strip() in _UNKNOWN
        return {"tokens": len(tokens), "unknown_tokens": sum(self._unknown[token] for token in tokens)}


def _request(texts: Any) -> TextRequest:
    return TextRequest(texts["text"], texts.get("pair"))


def _row(
    tokens: _Tokens,
    case: Case,
    versions: Sequence[_Version],
    not_applicable: dict[str, str],
    answers: dict[TextRequest, ClassScores],
) -> RowDict:
    if not versions:
        return excluded_row(case, _nothing_to_change(case, not_applicable))
    original = _request(case.data)
    for what, request in (("the text", original), *((f"{v.kind} at {v.severity:g}", v.request) for v in versions)):
        if answers[request].error is not None:
            return error_row(case, f"{what}: {answers[request].error}")
    label, answer = case.data["label"], answers[original]
    scores = [float(answers[version.request].probabilities[label]) for version in versions]
    worst = versions[int(np.argmin(scores))]
    return ok_row(
        case,
        text=original.text,
        pair=original.pair,
        label=label,
        predicted=answer.label,
        score=float(answer.probabilities[label]),
        probabilities=answer.probabilities.tolist(),
        perturbed_text=worst.request.text,
        perturbed_pair=worst.request.pair,
        perturbed_predicted=answers[worst.request].label,
        perturbed_score=min(scores),
        perturbed_kind=worst.kind,
        perturbed_severity=worst.severity,
        flips=sum(answers[version.request].label != answer.label for version in versions),
        words=count_words(original.text) + count_words(original.pair or ""),
        words_cut=case.data["words_cut"],
        **tokens.count(original),
        truncated=answer.truncated,
        not_applicable=json.dumps(not_applicable),
        versions=json.dumps(
            [_shown(tokens, original, version, answers[version.request]) for version in versions], ensure_ascii=False
        ),
    )


def _shown(tokens: _Tokens, original: TextRequest, version: _Version, answer: ClassScores) -> dict[str, Any]:
    """A version as it stands in the row."""
    request, spoilt = version.request, version.spoilt.values()
    pair: dict[str, Any] = {}
    if request.pair is not None and original.pair is not None:
        pair = {"pair": request.pair, "pair_spans": changed_spans(original.pair, request.pair)}
    return {
        "kind": version.kind,
        "severity": version.severity,
        "text": request.text,
        "spans": changed_spans(original.text, request.text),
        **pair,
        "changed": sum(each.changed for each in spoilt),
        "changeable": sum(each.changeable for each in spoilt),
        "edits": sum(each.edits for each in spoilt),
        **tokens.count(request),
        "predicted": answer.label,
        "probabilities": answer.probabilities.tolist(),
    }


def _nothing_to_change(case: Case, not_applicable: dict[str, str]) -> str:
    if not any(count_words(case.data.get(name) or "") for name in ("text", "pair")):
        return "the text has no word with a letter"
    return "; ".join(f"{kind}: {why}" for kind, why in not_applicable.items())
