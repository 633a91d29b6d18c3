"""quality/classification: is a classifier right, and does it know how often it is."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
from numpy.typing import ArrayLike
from pandera.typing import Series

from harness.api.case import Case, make_cases
from harness.api.estimates import POSITIVE, UNIT, all_missing, estimate, share, usable, with_interval
from harness.api.metrics import Better, Metric, RowValues
from harness.api.needs import Need, any_of
from harness.api.probe import About, Input, Plan, Probe, ProbeParams, ProbeRow, RowDict, error_row
from harness.api.scorer import ClassScores, Scorer, TextRequest
from harness.data.schemas import LabelledTexts
from suites.labels import true_classes
from suites.quality.calibration import (
    BINS,
    brier_terms,
    calibration_error,
    negative_log_likelihood,
)
from suites.quality.f1 import macro_f1
from suites.sources import IMDB_HELD_OUT

METRICS = {
    "accuracy": Better.HIGHER,
    "macro_f1": Better.HIGHER,
    "brier": Better.LOWER,
    "nll": Better.LOWER,
    "ece": Better.LOWER,
    "ece_raw": Better.LOWER,
    "truncated_rate": Better.LOWER,
}


class ClassificationRow(ProbeRow):
    """One row per text: class indices, all class probabilities (a JSON list), -log p(label), tokens cut off."""

    label: Series[int] = pa.Field(ge=0)
    predicted: Series[int] = pa.Field(ge=0)
    probabilities: Series[str]
    nll: Series[float]
    truncated: Series[int] = pa.Field(ge=0)


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
    value_columns = ("label", "predicted", "nll", "truncated")
    shares = frozenset({"accuracy", "truncated_rate"})
    bounds = {"macro_f1": UNIT, "brier": (0.0, 2.0), "ece": UNIT, "ece_raw": UNIT}  # noqa: RUF012
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

    def measure(self, rows: pd.DataFrame) -> list[Metric]:
        """Each metric over all usable rows."""
        good, missing = usable(rows)
        if good.empty:
            return all_missing(METRICS, "no text could be classified", missing)
        n = len(good)
        label, predicted = good["label"].to_numpy(np.int64), good["predicted"].to_numpy(np.int64)
        probabilities = np.array([json.loads(value) for value in good["probabilities"]], dtype=np.float64)
        right = label == predicted

        def average(key: str, values: ArrayLike, bounds: tuple[float, float], **fields: Any) -> Metric:
            return estimate(key, RowValues(values, bounds=bounds), better=METRICS[key], missing=missing, **fields)

        def rate(key: str, hits: int, *, headline: bool = True) -> Metric:
            return share(key, hits, n, better=METRICS[key], missing=missing, headline=headline)

        f1, f1_interval = macro_f1(label, predicted, probabilities.shape[1])
        calibration = calibration_error(probabilities.max(axis=1), right)
        return [
            rate("accuracy", int(right.sum())),
            with_interval("macro_f1", f1, f1_interval, n, better=METRICS["macro_f1"], missing=missing),
            average("brier", brier_terms(probabilities, label), (0.0, 2.0), note="from 0 to 2, summed over classes"),
            average("nll", good["nll"].to_numpy(np.float64), POSITIVE, unit="nats"),
            with_interval(
                "ece",
                calibration.value,
                calibration.interval,
                n,
                better=METRICS["ece"],
                missing=missing,
                note=_ECE_NOTE,
            ),
            Metric(
                key="ece_raw",
                value=calibration.plug_in,
                n=n,
                better=METRICS["ece_raw"],
                missing=missing,
                headline=False,
                note=_RAW_NOTE,
            ),
            rate("truncated_rate", int((good["truncated"] > 0).sum()), headline=False),
        ]

    def row_values(self, rows: pd.DataFrame, metric: str, part: str) -> RowValues | None:
        """Of the metrics that are means."""
        if part or metric not in ("accuracy", "nll", "truncated_rate"):
            return None
        values = rows["nll"] if metric == "nll" else rows["truncated"] > 0
        if metric == "accuracy":
            values = rows["label"] == rows["predicted"]
        above = values.astype("float64").where(rows["status"] == "ok", np.nan).to_numpy(np.float64)
        return RowValues(above, bounds=POSITIVE if metric == "nll" else UNIT)


_ECE_NOTE = f"{BINS} equal-width bins of the largest probability, debiased for noise (Kumar et al. 2019)"
_RAW_NOTE = "as published (Guo et al. 2017): counts noise as miscalibration, the more so the fewer the examples"


def _row(case: Case, answer: ClassScores) -> RowDict:
    label = case.data["label"]
    return {
        "case_id": case.id,
        "status": "ok",
        "error": None,
        "label": label,
        "predicted": answer.label,
        "probabilities": json.dumps(answer.probabilities.tolist()),
        "nll": negative_log_likelihood(answer.logits, label),
        "truncated": answer.truncated,
    }
