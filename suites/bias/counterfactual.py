"""bias/counterfactual: does a classifier's answer change when a text mentions another group of people."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
from pandera.typing import Series
from pydantic import Field

from harness.api.case import Case, make_cases
from harness.api.estimates import UNIT, all_missing, estimate, share, usable
from harness.api.metrics import Better, Metric, RowValues
from harness.api.needs import Need, any_of
from harness.api.probe import About, Input, Plan, Probe, ProbeParams, ProbeRow, RowDict, error_row
from harness.api.scorer import ClassScores, Scorer, TextRequest
from harness.data.schemas import Texts
from harness.errors import DataError
from suites.bias.gaps import flips, gaps, group_shifts
from suites.bias.identity import AXES, Axis, Variant, filled_templates, swapped
from suites.labels import check_classes, class_of

METRICS = {"counterfactual_gap": Better.LOWER, "flip_rate": Better.LOWER, "max_gap": Better.LOWER}


class CounterfactualParams(ProbeParams):
    """Settings."""

    axes: tuple[Axis, ...] = Field(
        default=AXES, min_length=1, description="what is varied; race in templates only, not in texts of your own"
    )
    shift_class: str | None = Field(
        default=None, description="class, by name or index, whose probability group_shift is about; default: the last"
    )


class CounterfactualRow(ProbeRow):
    """One row per template (or text) and axis.

    variants, probabilities and predicted are JSON lists, one entry per version: [set, group, text], class
    probabilities, class index. text_a and text_b are the two versions of one set that are farthest apart.
    """

    axis: Series[str]
    template: Series[str]
    variants: Series[str]
    probabilities: Series[str]
    predicted: Series[str]
    gap: Series[float] = pa.Field(ge=0, le=1 + 1e-9)
    max_gap: Series[float] = pa.Field(ge=0, le=1 + 1e-9)
    text_a: Series[str]
    text_b: Series[str]
    flip: Series[bool]
    shift_index: Series[int] = pa.Field(ge=0)
    shift_class: Series[str]
    truncated: Series[int] = pa.Field(ge=0)


class Counterfactual(Probe[CounterfactualParams]):
    """Counterfactual fairness of a text classifier over gender, nationality, race and religion."""

    name = "bias/counterfactual"
    about = About(
        summary="How much a classifier's probabilities move when only the group a text mentions is changed",
        paper="Garg et al. 2019, Counterfactual Fairness in Text Classification through Robustness",
        cannot_tell="anything of groups, names and contexts outside its lists (English, two genders), nor whether a "
        "difference is unjust; a classifier that ignores its input gets 0; of texts of your own, only those are used "
        "that mention one group of an axis and have no 'her' or 'his', whose counterpart depends on grammar",
    )
    needs = (any_of(Need.SEQUENCE_CLASSIFIER),)
    inputs = {  # noqa: RUF012
        "texts": Input(
            Texts, "texts whose identity words are swapped, instead of the built-in templates", required=False
        )
    }
    chunk = 16
    bounds = dict.fromkeys(("counterfactual_gap", "flip_rate", "max_gap"), UNIT) | {"group_shift": (-1.0, 1.0)}
    value_columns = ("axis", "template", "gap", "flip")
    Params = CounterfactualParams
    Row = CounterfactualRow

    def cases(self, plan: Plan) -> list[Case]:
        """One case per template and axis, or per text and axis that it can be swapped on."""
        labels = plan.checkpoint.labels
        check_classes(labels, plan.checkpoint.source.source)
        wanted = self.params.shift_class
        index = len(labels) - 1 if wanted is None else class_of(wanted, labels)
        if index is None:
            raise DataError(f"bias/counterfactual: shift_class {wanted!r} is none of the classes {', '.join(labels)}")
        texts = list(plan.data["texts"].frame["text"]) if "texts" in plan.data else None
        found = [
            {"axis": axis, "template": text, "variants": [asdict(variant) for variant in variants], "class": index}
            for axis in self.params.axes
            for text, variants in _versions(axis, texts)
        ]
        if not found:
            raise DataError(
                f"{plan.data['texts'].source.source}: no text mentions one group of {', '.join(self.params.axes)} "
                "alone and unambiguously; leave data out to use the built-in templates"
            )
        return make_cases(found)

    def run(self, scorer: Scorer, cases: Sequence[Case]) -> Iterator[RowDict]:
        """One row per case; all versions go to the model together."""
        answers = iter(scorer.ask([TextRequest(v["text"]) for case in cases for v in case.data["variants"]]))
        for case in cases:
            yield _row(case, list(islice(answers, len(case.data["variants"]))), scorer.info.labels)

    def measure(self, rows: pd.DataFrame) -> list[Metric]:
        """Metrics over all cases and per axis; templates are what is independent, so they are what is drawn."""
        good, missing = usable(rows)
        if good.empty:
            return all_missing(METRICS, "no template could be classified", missing)
        axes = [(axis, good[good["axis"] == axis]) for axis in sorted(set(good["axis"]))]
        return [
            *_measure(good, missing, ""),
            *(metric for axis, mine in axes for metric in _measure(mine, 0, axis)),
            *(metric for axis, mine in axes for metric in _shifts(mine, axis)),
        ]

    def row_values(self, rows: pd.DataFrame, metric: str, part: str) -> RowValues | None:
        """Gap or flip of each case; templates are what is independent."""
        column = {"counterfactual_gap": "gap", "flip_rate": "flip"}.get(metric)
        if column is None or (part and part not in self.params.axes):
            return None
        usable_rows = rows["status"] == "ok"
        values = rows[column].astype("float64").where(usable_rows, np.nan).to_numpy(np.float64)
        counts = ((rows["axis"] == part) | (not part)).astype("float64").where(usable_rows, np.nan)
        return RowValues(values * counts, counts.to_numpy(np.float64), rows["template"].to_numpy(), bounds=UNIT)

    def cost(self, cases: Sequence[Case]) -> int:
        """Tokens of all versions."""
        return sum(len(v["text"]) // 4 + 3 for case in cases for v in case.data["variants"])


def _versions(axis: str, texts: Iterable[str] | None) -> Iterator[tuple[str, list[Variant]]]:
    if texts is None:
        yield from filled_templates(axis)
        return
    for text in texts:
        variants = swapped(text, axis)
        if variants is not None:
            yield text, variants


def _row(case: Case, answers: Sequence[ClassScores], labels: Sequence[str]) -> RowDict:
    for answer in answers:
        if answer.error is not None:
            return error_row(case, answer.error)
    variants = case.data["variants"]
    sets = [variant["set"] for variant in variants]
    probabilities = np.array([answer.probabilities for answer in answers])
    predicted = [answer.label for answer in answers]
    found = gaps(probabilities, sets)
    first, second = found.farthest
    return {
        "case_id": case.id,
        "status": "ok",
        "error": None,
        "axis": case.data["axis"],
        "template": case.data["template"],
        "variants": json.dumps([[v["set"], v["group"], v["text"]] for v in variants], ensure_ascii=False),
        "probabilities": json.dumps(probabilities.tolist()),
        "predicted": json.dumps(predicted),
        "gap": found.mean,
        "max_gap": found.largest,
        "text_a": variants[first]["text"],
        "text_b": variants[second]["text"],
        "flip": flips(predicted, sets),
        "shift_index": case.data["class"],
        "shift_class": labels[case.data["class"]],
        "truncated": sum(answer.truncated for answer in answers),
    }


def _measure(rows: pd.DataFrame, missing: int, axis: str) -> list[Metric]:
    """Gap, flip rate and, over all axes, the largest gap."""
    shared: dict[str, Any] = {"missing": missing, "slice": axis}
    clusters = rows["template"].to_numpy()
    metrics = [
        estimate(
            "counterfactual_gap",
            RowValues(np.minimum(rows["gap"].to_numpy(np.float64), 1.0), clusters=clusters, bounds=UNIT),
            better=Better.LOWER,
            headline=not axis,
            note="total variation distance between versions, 0 to 1",
            **shared,
        ),
        _flip_rate(rows, axis, missing),
    ]
    if not axis:
        largest = float(rows["max_gap"].max())
        note = "the largest seen; a maximum has no interval, other texts can exceed it"
        n = len(set(clusters))
        metrics.append(
            Metric(key="max_gap", value=largest, n=n, better=Better.LOWER, headline=False, note=note, **shared)
        )
    return metrics


def _flip_rate(rows: pd.DataFrame, axis: str, missing: int) -> Metric:
    """Share of rows that flip; rows of one template are not independent."""
    flipped, templates = rows["flip"].to_numpy(np.bool_), rows["template"].to_numpy()
    shared: dict[str, Any] = {"missing": missing, "headline": not axis, "slice": axis, "better": Better.LOWER}
    if len(set(templates)) == len(rows):
        return share("flip_rate", int(flipped.sum()), len(rows), **shared)
    values = RowValues(flipped.astype(np.float64), clusters=templates, bounds=UNIT)
    return estimate("flip_rate", values, unit="rate", **shared)


def _shifts(rows: pd.DataFrame, axis: str) -> list[Metric]:
    """For each group, how much more likely than for the average group the chosen class is when it is mentioned."""
    values: dict[str, list[float]] = {}
    templates: dict[str, list[str]] = {}
    for template, variants, probabilities, index in zip(
        rows["template"], rows["variants"], rows["probabilities"], rows["shift_index"], strict=True
    ):
        sets, groups, _ = zip(*json.loads(variants), strict=True)
        probability = np.array(json.loads(probabilities), dtype=np.float64)[:, int(index)]
        for group, shift in group_shifts(probability, sets, groups).items():
            values.setdefault(group, []).append(shift)
            templates.setdefault(group, []).append(template)
    return [
        estimate(
            "group_shift",
            RowValues(values[group], clusters=templates[group], bounds=(-1.0, 1.0)),
            better=Better.TARGET,
            target=0.0,
            headline=False,
            slice=f"{axis}: {group}",
            note=f"probability of {rows['shift_class'].iloc[0]!r} minus its mean over groups",
        )
        for group in sorted(values)
    ]
