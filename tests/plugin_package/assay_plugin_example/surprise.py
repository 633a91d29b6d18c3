"""A complete probe that asks a second model: how much likelier a reference finds texts than the checkpoint does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean

from pandera.typing import Series

from harness.api.case import Case, make_cases
from harness.api.columns import column
from harness.api.declared import MeanOf
from harness.api.metrics import Better
from harness.api.models import ModelRole, Models
from harness.api.needs import Need, any_of
from harness.api.probe import About, Input, Plan, Probe, ProbeParams, ProbeRow, RowDict, ok_row
from harness.api.scorer import Scorer, TokenRequest
from harness.data.schemas import Texts


class SurpriseRow(ProbeRow):
    """One row per text."""

    gap: Series[float] = column("mean log-probability per token under the reference, less that under the checkpoint")
    rare: Series[bool] = column("whether the reference finds it rarer than it finds the texts on average")


class Surprise(Probe[ProbeParams]):
    """Likelihood beside a reference's."""

    name = "example/surprise"
    about = About(
        summary="How much likelier a reference finds texts than the checkpoint does",
        paper="none, an example",
        cannot_tell="why: the two may differ in size, in data or in tokenizer",
    )
    needs = (any_of(Need.CAUSAL_LM),)
    inputs = {"texts": Input(Texts, "texts to read")}  # noqa: RUF012
    models = {"reference": ModelRole((any_of(Need.CAUSAL_LM),), "a model to compare with")}  # noqa: RUF012
    metrics = (
        MeanOf("gap", Better.NEITHER, "gap", unit="nats/token"),
        MeanOf("rare_gap", Better.NEITHER, "gap", unit="nats/token", over="rare"),
    )
    Row = SurpriseRow

    def cases(self, plan: Plan) -> list[Case]:
        """One case per text."""
        return make_cases({"text": text} for text in plan.data["texts"].frame["text"])

    def prepare(self, models: Models, plan: Plan) -> None:
        """The reference's mean over all texts, which every case is held against."""
        self.kept.value("mean", lambda: fmean(likelihoods(models["reference"], plan.cases)))

    def run(self, scorer: Scorer, cases: Sequence[Case]) -> Iterator[RowDict]:
        """One row per text."""
        mean = self.kept.value("mean")
        ours, theirs = likelihoods(scorer, cases), likelihoods(self.others["reference"], cases)
        for case, our, their in zip(cases, ours, theirs, strict=True):
            yield ok_row(case, gap=their - our, rare=their < mean)


def likelihoods(scorer: Scorer, cases: Sequence[Case]) -> list[float]:
    """Mean log-probability per token of each text."""
    texts = [scorer.encode(case.data["text"], special=False) for case in cases]
    answers = scorer.ask([TokenRequest((scorer.start_token,), tokens) for tokens in texts])
    return [float(answer.logprobs.mean()) for answer in answers]
