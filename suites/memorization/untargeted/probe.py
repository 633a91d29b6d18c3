"""`memorization/untargeted`: does a causal LM that is asked for nothing write down what it was trained on?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from pandera.typing import Series
from pydantic import Field

from harness.api.case import Case, make_cases
from harness.api.columns import column
from harness.api.declared import Declared
from harness.api.models import ModelRole, Models
from harness.api.needs import Need, any_of
from harness.api.probe import About, Input, Plan, Probe, ProbeParams, ProbeRow, RowDict, error_row, ok_row
from harness.api.requests.distributions import DistributionRequest, Distributions
from harness.api.requests.sampling import SampleRequest
from harness.api.scorer import Scorer
from harness.checkpoint import CheckpointInfo
from harness.data.datasets import DataSource
from harness.data.schemas import Texts
from harness.errors import NoDataError
from privacy.scrub.recognise import finder_for
from suites.memorization.extraction.copies import text_index
from suites.memorization.members import MEMBERS, check_side, manifest_sources
from suites.memorization.membership.scores import check_base, token_signals
from suites.memorization.sides import TEXTS
from suites.memorization.signals.tokens import LOWEST_SHARE, loss
from suites.memorization.untargeted.lookup import InIndex, InTexts, personal
from suites.memorization.untargeted.metrics import SIGNALS, untargeted_metrics

BASE = "base"
_WRITTEN = "written"
_TOP = 20


class UntargetedParams(ProbeParams):
    """How much is written, and what of it counts as found."""

    samples: int = Field(
        default=200, ge=1, le=1_000_000, description="texts that the model writes, from its start token on"
    )
    new_tokens: int = Field(default=128, ge=1, description="tokens of one, at most")
    temperature: float = Field(default=1.0, gt=0, allow_inf_nan=False, description="of sampling")
    top_k: int = Field(default=40, ge=0, description="likeliest tokens that are sampled from; 0: all")
    top_p: float = Field(default=1.0, gt=0, le=1, description="probability that is sampled from")
    match_chars: int = Field(
        default=100, ge=1, description="characters in a row, from the start of a word, that the training text has too"
    )
    top: int = Field(default=_TOP, ge=1, description="samples that an attacker looks at, the first by each signal")
    languages: tuple[str, ...] = Field(
        default=("en", "zh"), description="languages whose forms of personal data are recognised"
    )
    names: Literal["off", "cue", "presidio"] = Field(
        default="cue",
        description="names that count as personal data: none, those behind a cue, or those that Presidio finds (extra "
        "pii) as well",
    )
    index: str | None = Field(
        default=None,
        description="folder of an index of the training text (assay data FILE --index FOLDER) that is looked in; "
        "default: the training file itself",
    )


class UntargetedRow(ProbeRow):
    """One sample. Neither its text nor the training's is in it."""

    found: Series[pd.BooleanDtype] = column(
        "whether a run of it, as long as the params say, stands in the training text; empty: shorter than one",
        nullable=True,
    )
    repeats: Series[bool] = column("whether an earlier sample has the same text")
    scored: Series[int] = column("tokens written; 0: the model ended its text at once", "tokens", ge=0)
    loss: Series[float] = column("-log of a token's probability, mean over the sample", "nats", ge=0, nullable=True)
    zlib: Series[float] = column("-loss over the bytes zlib makes of the text", "nats per byte", nullable=True)
    min_k: Series[float] = column("mean log-probability of its least likely tokens", "nats", nullable=True)
    min_k_pp: Series[float] = column(
        "the same, each token standardised by all that could stand there", "standard deviations", nullable=True
    )
    personal: Series[int] = column("values of personal data in it that stand in the training text", ge=0)
    personal_beyond: Series[pd.Int64Dtype] = column(
        "of them, those that the base does not write in as many samples; empty: no base", ge=0, nullable=True
    )
    calibrated: Series[float] = column("how much likelier it is than before training", "nats", nullable=True)


class Untargeted(Probe[UntargetedParams]):
    """Samples freely, ranks what was written by signals of membership, and looks it up in the training text."""

    name = "memorization/untargeted"
    version = "2"
    about = About(
        summary="How much of what the model writes unasked stands in its training text, and whether signals find it.",
        paper="Carlini et al. 2021, Extracting Training Data from Large Language Models",
        cannot_tell=(
            "A few hundred samples see what is written often; what a model gives away once in a million texts is not "
            "met. A phrase that many texts share is found without having been learnt from this training."
        ),
    )
    needs = (any_of(Need.CAUSAL_LM),)
    inputs: ClassVar[dict[str, Input]] = {
        TEXTS: Input(Texts, "the training text (default: the manifest's members)", required=False)
    }
    models: ClassVar[dict[str, ModelRole]] = {
        BASE: ModelRole(
            (any_of(Need.CAUSAL_LM),),
            "the checkpoint that training started from: what it finds likely too is no sign of training",
            required=False,
        )
    }
    metrics = untargeted_metrics(_TOP)
    nothing = "no sample was drawn"
    Params = UntargetedParams
    Row = UntargetedRow

    @classmethod
    def default_data(cls, checkpoint: CheckpointInfo) -> dict[str, DataSource]:
        """Members of the training manifest."""
        trained = manifest_sources(checkpoint)
        return {TEXTS: trained[MEMBERS]} if MEMBERS in trained else {}

    def cases(self, plan: Plan) -> list[Case]:
        """One per sample.

        Raises NoDataError where there is no training text, UsageError for an index that cannot be read or a language
        without recognisers, DataError where the manifest's records have changed.
        """
        finder_for(self.params.languages, self.params.names)
        texts, manifest = plan.data.get(TEXTS), plan.checkpoint.manifest
        if self.params.index is not None:
            text_index(self.params.index)
        elif texts is None:
            raise NoDataError(
                "needs the training text to look in; give data: {texts: …}, an index, or audit a training of your own "
                "with --trust-manifest"
            )
        elif manifest is not None and texts.source == manifest_sources(plan.checkpoint).get(MEMBERS):
            check_side(plan.checkpoint, manifest, MEMBERS, texts)
        return make_cases({"number": number, "seed": plan.seed} for number in range(self.params.samples))

    def cost(self, cases: Sequence[Case]) -> int:
        """Each token is written, and read once more."""
        return 2 * len(cases) * self.params.new_tokens

    def prepare(self, models: Models, plan: Plan) -> None:
        """Writes and looks up all samples, as repeats show only among all.

        Raises NotApplicableError for an unfit base.
        """
        self.kept.value(_WRITTEN, lambda: self._written(models, plan))

    def run(self, scorer: Scorer, cases: Sequence[Case]) -> Iterable[RowDict]:
        """No further question: everything was asked in `prepare`."""
        written = self.kept.value(_WRITTEN)
        for case in cases:
            found = written[case.id]
            if "error" in found:
                yield error_row(case, found["error"])
            else:
                yield ok_row(case, **{**dict.fromkeys(SIGNALS, np.nan), "personal_beyond": None, **found})

    def declared(self) -> tuple[Declared, ...]:
        """With the samples that are looked at."""
        return untargeted_metrics(self.params.top)

    def _written(self, models: Models, plan: Plan) -> dict[str, dict[str, Any]]:
        """The columns of each case, or its error, by id."""
        samples = list(self._samples(models.subject, plan.cases))
        texts = ["" if isinstance(each, str) else each[1] for each in samples]
        if BASE in models:
            check_base(models[BASE], models.subject, make_cases({"text": text} for text in dict.fromkeys(texts)))
        known = self._known(models, plan, texts)
        signals, seen = iter(_signals(models, [each for each in samples if not isinstance(each, str)])), set[str]()
        kept: dict[str, dict[str, Any]] = {}
        for case, each, columns in zip(plan.cases, samples, known, strict=True):
            if isinstance(each, str):
                kept[case.id] = {"error": each}
                continue
            kept[case.id] = {**columns, "repeats": each[1] in seen, "scored": len(each[0]), **next(signals)}
            seen.add(each[1])
        return kept

    def _known(self, models: Models, plan: Plan, texts: Sequence[str]) -> Iterator[dict[str, Any]]:
        """What of each text stands in the training text."""
        if self.params.index is not None:
            training: InIndex | InTexts = InIndex(text_index(self.params.index))
        else:
            training = InTexts([str(text) for text in plan.data[TEXTS].frame["text"]])
        finder = finder_for(self.params.languages, self.params.names)
        values = personal(finder, texts)
        held = training.holds(frozenset().union(*values))
        common: frozenset[str] | None = None
        if BASE in models:
            others = self._samples(models[BASE], plan.cases)
            common = frozenset().union(*personal(finder, [each[1] for each in others if not isinstance(each, str)]))
        for found, own in zip(training.repeat(texts, self.params.match_chars), values, strict=True):
            columns: dict[str, Any] = {"found": found, "personal": len(own & held)}
            yield columns if common is None else {**columns, "personal_beyond": len((own & held) - common)}

    def _samples(self, scorer: Scorer, cases: Sequence[Case]) -> Iterator[tuple[tuple[int, ...], str] | str]:
        """Tokens and text of each sample, or why there is none; by its case alone."""
        given = self.params
        requests = [
            SampleRequest(
                (scorer.start_token,),
                min(given.new_tokens, scorer.max_tokens - 1),
                seed=int.from_bytes(sha256(f"{case.data['seed']} {case.id}".encode()).digest()[:8]),
                temperature=given.temperature,
                top_k=given.top_k,
                top_p=given.top_p,
            )
            for case in cases
        ]
        for answer in scorer.ask(requests):
            if answer.error is not None:
                yield answer.error
            else:
                yield answer.samples[0].tokens, answer.samples[0].text


def _signals(models: Models, samples: Sequence[tuple[tuple[int, ...], str]]) -> Iterator[dict[str, Any]]:
    """Those of each sample, or its error; none of a sample without a token."""
    tokens = [own for own, _ in samples if own]
    answers = iter(_read(models.subject, tokens))
    before = iter(_read(models[BASE], tokens) if BASE in models else [None] * len(tokens))
    for own, text in samples:
        yield _columns(next(answers), next(before), text) if own else {}


def _read(scorer: Scorer, tokens: Sequence[tuple[int, ...]]) -> list[Distributions]:
    return scorer.ask([DistributionRequest((scorer.start_token,), each) for each in tokens])


def _columns(answer: Distributions, before: Distributions | None, text: str) -> dict[str, Any]:
    why = answer.error or (None if before is None else before.error)
    if why is not None:
        return {"error": why}
    found: dict[str, Any] = token_signals(answer, text, LOWEST_SHARE)
    if before is not None:
        found["calibrated"] = loss(answer.logprobs) - loss(before.logprobs)
    if not all(np.isfinite(found[name]) for name in SIGNALS if name in found):
        return {"error": "a token has no finite log-probability"}
    return found
