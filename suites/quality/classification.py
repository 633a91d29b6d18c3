"""quality/classification: is a classifier right, and does it know how often it is."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from pandera.typing import Series

from harness.api.case import Case, make_cases
from harness.api.columns import column, list_column
from harness.api.declared import Computed, MeanOf, Named, Rows, ShareOf, of
from harness.api.estimates import POSITIVE, UNIT
from harness.api.lists import as_list, as_matrix
from harness.api.metrics import Better, Metric
from harness.api.needs import Need, any_of
from harness.api.probe import About, Input, Plan, Probe, ProbeParams, ProbeRow, RowDict, error_row, ok_row
from harness.api.scorer import ClassScores, Floats, Scorer, TextRequest
from harness.data.schemas import LabelledTexts
from suites.labels import true_classes
from suites.quality.calibration import (
    BINS,
    Ints,
    brier_terms,
    calibration_error,
    negative_log_likelihood,
)
from suites.quality.f1 import macro_f1
from suites.sources import IMDB_HELD_OUT


class ClassificationRow(ProbeRow):
    """One row per text."""

    label: Series[int] = column("true class, by index", ge=0)
    predicted: Series[int] = column("class with the largest probability, by index", ge=0)
    probabilities: Series[object] = list_column("probability of each class, in order of index", of="double")
    nll: Series[float] = column("-log of the true class's probability", "nats")
    truncated: Series[int] = column("tokens of the text that the model cannot read", "tokens", ge=0)


_ECE_NOTE = f"{BINS} equal-width bins of the largest probability, debiased for noise (Kumar et al. 2019)"
_RAW_NOTE = "as published (Guo et al. 2017): counts noise as miscalibration, the more so the fewer the examples"


def _macro_f1(rows: Rows, named: Mapping[str, Named]) -> Iterator[Metric]:
    label, predicted = _classes(rows.good)
    value, interval = macro_f1(label, predicted, len(as_list(rows.good["probabilities"].iloc[0])))
    yield named["macro_f1"].value(value, interval, len(label), missing=rows.missing)


def _calibration(rows: Rows, named: Mapping[str, Named]) -> Iterator[Metric]:
    label, predicted = _classes(rows.good)
    found = calibration_error(as_matrix(rows.good["probabilities"]).max(axis=1), label == predicted)
    yield named["ece"].value(found.value, found.interval, len(label), missing=rows.missing)
    yield named["ece_raw"].value(found.plug_in, None, len(label), missing=rows.missing)


def _classes(good: pd.DataFrame) -> tuple[Ints, Ints]:
    """Labels [n] and predictions [n]."""
    label, predicted = (good[name].to_numpy(np.int64) for name in ("label", "predicted"))
    return label, predicted


def _brier(label: pd.Series[int], probabilities: pd.Series[Any]) -> Floats:
    return brier_terms(as_matrix(probabilities), np.asarray(label, dtype=np.int64))


class Classification(Probe[ProbeParams]):
    """Accuracy and calibration of a text classifier."""

    name = "quality/classification"
    about = About(
        summary="How often a classifier is right, and how far its probabilities can be believed",
        paper="Guo et al. 2017, On Calibration of Modern Neural Networks (ECE); Kumar et al. 2019, Verified "
        "Uncertainty Calibration (its debiasing); Brier 1950, summed over classes",
        cannot_tell="how it does on texts unlike these, or whether the labels are right; softmax probabilities are "
        "assumed, so a multi-label head whose config does not say so (problem_type) is misread",
    )
    needs = (any_of(Need.SEQUENCE_CLASSIFIER),)
    inputs = {"examples": Input(LabelledTexts, "texts with their true labels", IMDB_HELD_OUT)}  # noqa: RUF012
    metrics = (
        ShareOf("accuracy", Better.HIGHER, of(operator.eq, "label", "predicted")),
        Computed((Named("macro_f1", Better.HIGHER, bounds=UNIT),), _macro_f1),
        MeanOf(
            *("brier", Better.LOWER, of(_brier, "label", "probabilities")),
            bounds=(0.0, 2.0),
            note="from 0 to 2, summed over classes",
        ),
        MeanOf("nll", Better.LOWER, "nll", unit="nats", bounds=POSITIVE),
        Computed(
            (
                Named("ece", Better.LOWER, bounds=UNIT, note=_ECE_NOTE),
                Named("ece_raw", Better.LOWER, bounds=UNIT, note=_RAW_NOTE, headline=False),
            ),
            _calibration,
        ),
        ShareOf("truncated_rate", Better.LOWER, of(lambda cut: cut > 0, "truncated"), headline=False),
    )
    nothing = "no text could be classified"
    Row = ClassificationRow

    def cases(self, plan: Plan) -> list[Case]:
        """One case per example."""
        classes = true_classes(plan, "examples", self.inputs["examples"].default)
        frame = plan.data["examples"].frame
        columns = [name for name in ("text", "pair") if name in frame]
        examples = zip(*(frame[name] for name in columns), classes, strict=True)
        return make_cases(dict(zip((*columns, "label"), example, strict=True)) for example in examples)

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
