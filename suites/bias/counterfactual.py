"""bias/counterfactual: does a classifier's answer change when a text mentions another group of people."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import islice

import numpy as np
import pandas as pd
from pandera.typing import Series
from pydantic import Field

from harness.api.case import Case, make_cases
from harness.api.columns import column, list_column
from harness.api.declared import By, Computed, MeanOf, Named, Rows, ShareOf, of
from harness.api.estimates import UNIT
from harness.api.lists import as_list, as_matrix
from harness.api.metrics import Better, Metric, RowValues
from harness.api.needs import Need, any_of
from harness.api.probe import About, Input, Plan, Probe, ProbeParams, ProbeRow, RowDict, error_row, ok_row
from harness.api.scorer import ClassScores, Scorer, TextRequest
from harness.data.schemas import Texts
from harness.errors import DataError
from suites.bias.gaps import flips, gaps, group_shifts
from suites.bias.identity import AXES, Axis, Variant, filled_templates, swapped
from suites.labels import check_classes, class_of


class CounterfactualParams(ProbeParams):
    """Settings."""

    axes: tuple[Axis, ...] = Field(
        default=AXES, min_length=1, description="what is varied; race in templates only, not in texts of your own"
    )
    shift_class: str | None = Field(
        default=None, description="class, by name or index, whose probability group_shift is about; default: the last"
    )


class CounterfactualRow(ProbeRow):
    """One row per template (or text) and axis; lists have one entry per version."""

    axis: Series[str] = column("what is varied: gender, nationality, race or religion")
    template: Series[str] = column("the template, or the text as it was given; rows that share one are related")
    variants: Series[str] = column("JSON list of the versions: [set, group, text] each")
    probabilities: Series[object] = list_column("class probabilities of each version", of="double", depth=2)
    predicted: Series[object] = list_column("predicted class of each version, by index", of="int64")
    gap: Series[float] = column(
        "total variation distance between versions of a set, mean over pairs and sets", ge=0, le=1 + 1e-9
    )
    max_gap: Series[float] = column("largest such distance", ge=0, le=1 + 1e-9)
    text_a: Series[str] = column("one of the two versions that are farthest apart")
    text_b: Series[str] = column("the other of them")
    flip: Series[bool] = column("whether two versions of a set are put into different classes")
    shift_index: Series[int] = column("class that group_shift is about, by index", ge=0)
    shift_class: Series[str] = column("its name")
    truncated: Series[int] = column("tokens of all versions that the model cannot read", "tokens", ge=0)


_MAX_NOTE = "the largest seen; a maximum has no interval, other texts can exceed it"


def _max_gap(rows: Rows, named: Mapping[str, Named]) -> Iterator[Metric]:
    largest, n = float(rows.good["max_gap"].max()), rows.good["template"].nunique()
    yield named["max_gap"].value(largest, None, n, missing=rows.missing)


def _shifts(rows: Rows, named: Mapping[str, Named]) -> Iterator[Metric]:
    """For each group, how much more likely than for the average group the chosen class is when it is mentioned."""
    for axis in sorted(set(rows.good["axis"])):
        mine = rows.good[rows.good["axis"] == axis]
        note = f"probability of {mine['shift_class'].iloc[0]!r} minus its mean over groups"
        for group, (shifts, templates) in sorted(_by_group(mine).items()):
            values = RowValues(shifts, clusters=templates, bounds=(-1.0, 1.0))
            yield named["group_shift"].estimate(values, slice=f"{axis}: {group}", note=note)


def _by_group(rows: pd.DataFrame) -> dict[str, tuple[list[float], list[str]]]:
    """Shifts of each group, and the templates they are of."""
    found: dict[str, tuple[list[float], list[str]]] = {}
    for template, variants, probabilities, index in zip(
        rows["template"], rows["variants"], rows["probabilities"], rows["shift_index"], strict=True
    ):
        sets, groups, _ = zip(*as_list(variants), strict=True)
        probability = as_matrix(as_list(probabilities))[:, int(index)]
        for group, shift in group_shifts(probability, sets, groups).items():
            shifts, templates = found.setdefault(group, ([], []))
            shifts.append(shift)
            templates.append(template)
    return found


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
    metrics = (
        MeanOf(
            *("counterfactual_gap", Better.LOWER, of(lambda gap: np.minimum(gap, 1.0), "gap")),
            bounds=UNIT,
            note="total variation distance between versions, 0 to 1",
            clusters="template",
            slices=By(("axis",)),
        ),
        ShareOf("flip_rate", Better.LOWER, "flip", clusters="template", slices=By(("axis",))),
        Computed((Named("max_gap", Better.LOWER, bounds=UNIT, headline=False, note=_MAX_NOTE),), _max_gap),
        Computed((Named("group_shift", Better.TARGET, target=0.0, bounds=(-1.0, 1.0), sliced_only=True),), _shifts),
    )
    nothing = "no template could be classified"
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
    return ok_row(
        case,
        axis=case.data["axis"],
        template=case.data["template"],
        variants=json.dumps([[v["set"], v["group"], v["text"]] for v in variants], ensure_ascii=False),
        probabilities=probabilities.tolist(),
        predicted=predicted,
        gap=found.mean,
        max_gap=found.largest,
        text_a=variants[first]["text"],
        text_b=variants[second]["text"],
        flip=flips(predicted, sets),
        shift_index=case.data["class"],
        shift_class=labels[case.data["class"]],
        truncated=sum(answer.truncated for answer in answers),
    )
