"""quality/classification: is a classifier right, and does it know how often it is."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence

from pandera.typing import Series
from pydantic import Field

from harness.api.case import Case, make_cases
from harness.api.columns import column, list_column
from harness.api.declared import Declared, MeanOf, ShareOf, of
from harness.api.estimates import POSITIVE
from harness.api.metrics import Better
from harness.api.needs import Need, any_of
from harness.api.probe import About, Input, Plan, Probe, ProbeParams, ProbeRow, RowDict, error_row, ok_row
from harness.api.scorer import ClassScores, Scorer, TextRequest
from harness.data.labels import shown
from harness.data.schemas import LabelledTexts
from harness.errors import UsageError
from suites.labels import true_classes
from suites.quality.classification.calibration import negative_log_likelihood
from suites.quality.classification.metrics import (
    AT_COVERAGE,
    ECE,
    EQUAL_MASS,
    MACRO_F1,
    MATTHEWS,
    SELECTIVE,
    TEMPERATURE,
    brier,
    f1_of,
)
from suites.sources import IMDB_HELD_OUT


class ClassificationRow(ProbeRow):
    """One row per text."""

    label: Series[int] = column("true class, by index", ge=0)
    predicted: Series[int] = column("class with the largest probability, by index", ge=0)
    probabilities: Series[object] = list_column("probability of each class, in order of index", of="double")
    nll: Series[float] = column("-log of the true class's probability", "nats")
    truncated: Series[int] = column("tokens of the text that the model cannot read", "tokens", ge=0)


class ClassificationParams(ProbeParams):
    """Settings."""

    positive: int | None = Field(
        default=None, ge=0, description="class whose own F1 is measured, as MRPC and QQP do, by index; default: none"
    )


class Classification(Probe[ClassificationParams]):
    """Accuracy and calibration of a text classifier."""

    name = "quality/classification"
    about = About(
        summary="How often a classifier is right, and how far its probabilities can be believed",
        paper="Guo et al. 2017, On Calibration of Modern Neural Networks (ECE); Kumar et al. 2019, Verified "
        "Uncertainty Calibration (its debiasing); Brier 1950, summed over classes; Geifman et al. 2019 (AURC)",
        cannot_tell="how it does on texts unlike these, or whether the labels are right; softmax probabilities are "
        "assumed, so a multi-label head whose config does not say so (problem_type) is misread",
    )
    needs = (any_of(Need.SEQUENCE_CLASSIFIER),)
    inputs = {"examples": Input(LabelledTexts, "texts with their true labels", IMDB_HELD_OUT)}  # noqa: RUF012
    metrics = (
        ShareOf("accuracy", Better.HIGHER, of(operator.eq, "label", "predicted")),
        MACRO_F1,
        MeanOf(
            *("brier", Better.LOWER, of(brier, "label", "probabilities")),
            bounds=(0.0, 2.0),
            note="from 0 to 2, summed over classes",
        ),
        MeanOf("nll", Better.LOWER, "nll", unit="nats", bounds=POSITIVE),
        ECE,
        ShareOf("truncated_rate", Better.LOWER, of(lambda cut: cut > 0, "truncated"), headline=False),
        MATTHEWS,
        EQUAL_MASS,
        TEMPERATURE,
        SELECTIVE,
        *AT_COVERAGE,
    )
    nothing = "no text could be classified"
    Params = ClassificationParams
    Row = ClassificationRow

    def declared(self) -> tuple[Declared, ...]:
        """With the F1 of the positive class, where one is named."""
        return self.metrics if self.params.positive is None else (*self.metrics, f1_of(self.params.positive))

    def cases(self, plan: Plan) -> list[Case]:
        """One case per example."""
        classes = true_classes(plan, "examples", self.inputs["examples"].default)
        self._check_positive(plan.checkpoint.labels)
        frame = plan.data["examples"].frame
        columns = [name for name in ("text", "pair") if name in frame]
        examples = zip(*(frame[name] for name in columns), classes, strict=True)
        return make_cases(dict(zip((*columns, "label"), example, strict=True)) for example in examples)

    def _check_positive(self, labels: Sequence[str]) -> None:
        """Raises UsageError where the model has no such class."""
        positive = self.params.positive
        if positive is not None and positive >= len(labels):
            raise UsageError(f"quality/classification: positive: no class {positive}, the model has {shown(labels)}")

    def run(self, scorer: Scorer, cases: Sequence[Case]) -> Iterator[RowDict]:
        """One row per example."""
        answers = scorer.ask([TextRequest(case.data["text"], case.data.get("pair")) for case in cases])
        for case, answer in zip(cases, answers, strict=True):
            yield error_row(case, answer.error) if answer.error is not None else _row(case, answer)


def _row(case: Case, answer: ClassScores) -> RowDict:
    label = case.data["label"]
    return ok_row(
        case,
        label=label,
        predicted=answer.label,
        probabilities=answer.probabilities.tolist(),
        nll=negative_log_likelihood(answer.logits, label),
        truncated=answer.truncated,
    )
