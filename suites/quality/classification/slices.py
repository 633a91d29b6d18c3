"""quality/slices: on which texts a classifier is worse, by length, by true label and by a column of the data."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
import pandera.pandas as pa
from pandera.typing import Series

from harness.api.case import Case, make_cases
from harness.api.columns import column
from harness.api.declared import By, Computed, MeanOf, Named, Rows, ShareOf, of
from harness.api.estimates import POSITIVE
from harness.api.metrics import Better, Metric
from harness.api.needs import Need, any_of
from harness.api.probe import About, Input, Plan, Probe, ProbeParams, ProbeRow, RowDict, error_row, ok_row
from harness.api.scorer import ClassScores, Floats, Scorer, TextRequest
from harness.data.schemas import LabelledTexts
from harness.stats.intervals import Interval, Method, clopper_pearson
from suites.labels import true_classes
from suites.quality.classification.calibration import negative_log_likelihood
from suites.sources import IMDB_HELD_OUT

LENGTHS = (16, 64, 256)
"""Most words of a slice by length, so that audits of other texts have the same slices."""
FEWEST = 30
"""Texts of a slice below which it cannot be the worst: the interval of a few would hide what larger ones show."""


class SlicedTexts(LabelledTexts):
    """Labelled texts, each with the slice it belongs to where there are such."""

    slice: Series[str] | None = pa.Field(coerce=True, nullable=True)


class SliceRow(ProbeRow):
    """One row per text."""

    label: Series[int] = column("true class, by index", ge=0)
    predicted: Series[int] = column("class with the largest probability, by index", ge=0)
    confidence: Series[float] = column("probability of that class", ge=0, le=1)
    nll: Series[float] = column("-log of the true class's probability", "nats")
    truncated: Series[int] = column("tokens of the text that the model cannot read", "tokens", ge=0)
    words: Series[int] = column("words of the text and its pair, between blanks", "words", ge=0)
    length: Series[str] = column("slice by length")
    class_name: Series[str] = column("slice by true label: 'label' and the class's name")
    slice: Series[str] = column("slice by the column of the data; empty where there is none")


def length_slice(words: int) -> str:
    """The slice of a text of so many words, e.g. 'words 17-64'."""
    for least, most in zip((0, *(end + 1 for end in LENGTHS)), LENGTHS, strict=False):
        if words <= most:
            return f"words {least}-{most}"
    return f"words over {LENGTHS[-1]}"


_SLICES = By(("length", "class_name", "slice"))


def _too_sure(confidence: pd.Series[float], label: pd.Series[int], predicted: pd.Series[int]) -> Floats:
    return np.asarray(confidence - 1.0 * (label == predicted), dtype=np.float64)


def _worst(rows: Rows, named: Mapping[str, Named]) -> Iterator[Metric]:
    """The least accuracy of any slice, with the simultaneous interval of all of them (Bonferroni)."""
    good = rows.good
    right = (good["label"] == good["predicted"]).to_numpy()
    masks = {part: _SLICES.mask(good, part) for part in _SLICES.parts(good)}
    large = {part: mask for part, mask in masks.items() if mask.sum() >= FEWEST}
    if not large:
        yield named["worst_slice_accuracy"].none(f"no slice has {FEWEST} texts", missing=rows.missing)
        return
    level = 1 - 0.05 / len(large)
    hits = {part: (int(right[mask].sum()), int(mask.sum())) for part, mask in large.items()}
    part, (k, n) = min(hits.items(), key=lambda item: item[1][0] / item[1][1])
    reach = [clopper_pearson(*each, level) for each in hits.values()]
    interval = Interval(
        min(end.low for end in reach), min(end.high for end in reach), f"{Method.WORST}, over {len(hits)}"
    )
    note = f"slice '{part}', of {len(hits)} with {FEWEST} texts or more"
    yield named["worst_slice_accuracy"].value(k / n, interval, n, missing=rows.missing, note=note)


class Slices(Probe[ProbeParams]):
    """Accuracy and overconfidence of a classifier by slice."""

    name = "quality/slices"
    about = About(
        summary="Where a classifier is worse: by length of text, by true label, and by a column of the data",
        paper="slice-based evaluation as Chen et al. 2019, Slice-based Learning; Clopper-Pearson per slice, Bonferroni "
        "for the worst",
        cannot_tell="why a slice is worse; slices overlap, and a small one shows only large differences",
    )
    needs = (any_of(Need.SEQUENCE_CLASSIFIER),)
    inputs = {  # noqa: RUF012
        "examples": Input(SlicedTexts, "texts with their true labels, and a column `slice` if wanted", IMDB_HELD_OUT)
    }
    metrics = (
        ShareOf("accuracy", Better.HIGHER, of(operator.eq, "label", "predicted"), slices=_SLICES),
        MeanOf(
            *("overconfidence", Better.TARGET, of(_too_sure, "confidence", "label", "predicted")),
            target=0.0,
            bounds=(-1.0, 1.0),
            headline=False,
            note="mean confidence less accuracy",
            slices=_SLICES,
        ),
        MeanOf("nll", Better.LOWER, "nll", unit="nats", bounds=POSITIVE, headline=False, slices=_SLICES),
        Computed((Named("worst_slice_accuracy", Better.HIGHER, unit="rate"),), _worst),
    )
    nothing = "no text could be classified"
    Row = SliceRow

    def cases(self, plan: Plan) -> list[Case]:
        """One case per example."""
        classes = true_classes(plan, "examples", self.inputs["examples"].default)
        frame, names = plan.data["examples"].frame, plan.checkpoint.labels
        columns = [name for name in ("text", "pair", "slice") if name in frame]
        examples = zip(*(frame[name] for name in columns), classes, strict=True)
        found = (dict(zip((*columns, "label"), example, strict=True)) for example in examples)
        return make_cases({**data, "slice": _given(data.get("slice")), "name": names[data["label"]]} for data in found)

    def run(self, scorer: Scorer, cases: Sequence[Case]) -> Iterator[RowDict]:
        """One row per example."""
        answers = scorer.ask([TextRequest(case.data["text"], case.data.get("pair")) for case in cases])
        for case, answer in zip(cases, answers, strict=True):
            yield error_row(case, answer.error) if answer.error is not None else _row(case, answer)


def _given(value: object) -> str:
    """A cell of the column as a slice's name; '' where it is empty."""
    return value.strip() if isinstance(value, str) else ""


def _row(case: Case, answer: ClassScores) -> RowDict:
    data = case.data
    words = len(data["text"].split()) + len((data.get("pair") or "").split())
    return ok_row(
        case,
        label=data["label"],
        predicted=answer.label,
        confidence=float(answer.probabilities.max()),
        nll=negative_log_likelihood(answer.logits, data["label"]),
        truncated=answer.truncated,
        words=words,
        length=length_slice(words),
        class_name=f"label {data['name']}",
        slice=data["slice"],
    )
