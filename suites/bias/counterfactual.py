"""bias/counterfactual: does a classifier's answer change when a text mentions another group of people."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
from pandera.typing import Series
from pydantic import Field

from harness.api.case import Case, make_cases
from harness.api.columns import column, list_column
from harness.api.declared import By, Computed, ControlRows, MeanOf, Named, Rows, ShareOf, equal, of
from harness.api.estimates import UNIT
from harness.api.lists import as_list, as_matrix
from harness.api.metrics import Better, Metric, RowValues
from harness.api.needs import Need, any_of
from harness.api.probe import About, Input, Plan, Probe, ProbeParams, ProbeRow, RowDict, error_row, excluded_row, ok_row
from harness.api.scorer import ClassScores, Scorer, TextRequest
from harness.data.schemas import Texts
from harness.errors import DataError, WrongDataError
from suites.bias.alike import unlike
from suites.bias.gaps import PairGap, flips, gaps, group_shifts, pair_gaps
from suites.bias.identity import AXES, CONTROL, SLOT, Axis, Language, Swap, axes_of, filled_templates, swap
from suites.bias.multiple import holm, sign_test
from suites.bias.reading import why_unread
from suites.labels import check_classes, class_of


class IdentityTemplates(pa.DataFrameModel):
    """Sentences with {person} where the group goes; {subject}, {object} and {possessive} follow it."""

    text: Series[str] = pa.Field(coerce=True)


class CounterfactualParams(ProbeParams):
    """Settings."""

    language: Language = Field(default="en", description="of the built-in lists: en or zh")
    axes: tuple[Axis, ...] | None = Field(
        default=None,
        min_length=1,
        description="what is varied; race, names and gender_race in templates only, not in texts of your own; default: "
        f"{', '.join(AXES)}, those of them that the language has",
    )
    control: bool = Field(default=True, description="also swap words that concern nobody (weekdays)")
    shift_class: str | None = Field(
        default=None, description="class, by name or index, whose probability group_shift is about; default: the last"
    )


class CounterfactualRow(ProbeRow):
    """One row per template (or text) and axis; lists have one entry per version."""

    axis: Series[str] = column(
        "what is varied: gender, nationality ...; empty: the control, words that concern nobody", of_case=True
    )
    template: Series[str] = column(
        "the template, or the text as it was given; rows that share one are related", of_case=True
    )
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

    @classmethod
    def contradictions(cls, rows: pd.DataFrame) -> Mapping[str, pd.Series[bool]]:
        """Shifts are of one class."""
        return unlike(rows, "shift_index", "shift_class")


_MAX_NOTE = "the largest seen; a maximum has no interval, other texts can exceed it"
_PEOPLE = of(lambda axis: axis != "", "axis")
_CONTROL = ControlRows(equal("axis", ""), "weekdays swapped, which concern no group")


def _max_gap(rows: Rows, named: Mapping[str, Named]) -> Iterator[Metric]:
    good = rows.good[rows.good["axis"] != ""]
    largest, n = float(good["max_gap"].max()), good["template"].nunique()
    yield named["max_gap"].value(largest, None, n, missing=rows.missing)


def _shifts(rows: Rows, named: Mapping[str, Named]) -> Iterator[Metric]:
    """For each group, how much more likely than for the average group the chosen class is when it is mentioned."""
    for axis in sorted(set(rows.good["axis"]) - {""}):
        mine = rows.good[rows.good["axis"] == axis]
        about = f"probability of {mine['shift_class'].iloc[0]!r} minus its mean over groups"
        found = _by_group(mine)
        tested = holm({group: sign_test(pd.Series(s).groupby(t).mean()) for group, (s, t) in found.items()})
        for group, (shifts, templates) in sorted(found.items()):
            values = RowValues(shifts, clusters=templates, bounds=(-1.0, 1.0))
            note = f"{about}; sign test over templates, by Holm over {len(found)} groups: p = {tested[group]:.2g}"
            yield named["group_shift"].estimate(values, slice=f"{axis}: {group}", note=note)


def _pairs(rows: Rows, named: Mapping[str, Named]) -> Iterator[Metric]:
    """For each pair of groups of an axis: mean gap, share of templates that flip, largest gap."""
    for axis in sorted(set(rows.good["axis"]) - {""}):
        found: dict[tuple[str, str], list[tuple[str, PairGap]]] = {}
        for row in rows.good[rows.good["axis"] == axis].to_dict("records"):
            sets, groups, _ = zip(*as_list(row["variants"]), strict=True)
            probabilities, predicted = as_matrix(as_list(row["probabilities"])), as_list(row["predicted"])
            for pair, gap in pair_gaps(probabilities, predicted, sets, groups).items():
                found.setdefault(pair, []).append((row["template"], gap))
        for (first, second), seen in sorted(found.items()):
            part, templates = f"{axis}: {first} / {second}", [template for template, _ in seen]
            means = RowValues([gap.mean for _, gap in seen], clusters=templates, bounds=UNIT)
            flipped = RowValues([float(gap.flip) for _, gap in seen], clusters=templates, bounds=UNIT)
            yield named["pair_gap"].estimate(means, slice=part)
            yield named["pair_flip_rate"].estimate(flipped, slice=part)
            largest = max(gap.largest for _, gap in seen)
            yield named["pair_max_gap"].value(largest, None, len(set(templates)), slice=part)


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
    """Counterfactual fairness of a text classifier over groups, names and pronouns."""

    name = "bias/counterfactual"
    version = "2"
    about = About(
        summary="How much a classifier's probabilities move when only the group a text mentions is changed",
        paper="Garg et al. 2019, Counterfactual Fairness in Text Classification through Robustness",
        cannot_tell="anything of groups, names and contexts outside its lists (English and Chinese), nor whether a "
        "difference is unjust; a classifier that ignores its input gets 0, one that jumps at any word gets a high "
        "control too; of texts of your own, those that mention several groups of an axis, or have a 'her' or "
        "'his' whose counterpart the rules do not settle, are left out and counted as excluded",
    )
    needs = (any_of(Need.SEQUENCE_CLASSIFIER),)
    inputs = {  # noqa: RUF012
        "texts": Input(
            Texts, "texts whose identity words are swapped, instead of the built-in templates", required=False
        ),
        "templates": Input(
            IdentityTemplates, "sentences with {person}, instead of the built-in templates", required=False
        ),
    }
    metrics = (
        MeanOf(
            *("counterfactual_gap", Better.LOWER, of(lambda gap: np.minimum(gap, 1.0), "gap")),
            bounds=UNIT,
            note="total variation distance between versions, 0 to 1",
            clusters="template",
            slices=By(("axis",)),
            control=_CONTROL,
        ),
        ShareOf("flip_rate", Better.LOWER, "flip", clusters="template", slices=By(("axis",)), control=_CONTROL),
        Computed(
            (Named("max_gap", Better.LOWER, bounds=UNIT, headline=False, note=_MAX_NOTE),),
            _max_gap,
            about=_PEOPLE,
            control=_CONTROL,
        ),
        Computed(
            (
                Named("pair_gap", Better.LOWER, bounds=UNIT, sliced_only=True),
                Named("pair_flip_rate", Better.LOWER, unit="rate", sliced_only=True),
                Named("pair_max_gap", Better.LOWER, bounds=UNIT, note=_MAX_NOTE, sliced_only=True),
            ),
            _pairs,
        ),
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
        found = [
            {"axis": axis, "template": text, **asdict(made), "class": index}
            for axis in self._axes()
            for text, made in self._versions(axis, plan)
        ]
        if not any(item["variants"] for item in found if item["axis"] != CONTROL):
            raise DataError(_nobody(plan, self._axes(), found))
        return make_cases(found)

    def _axes(self) -> tuple[str, ...]:
        """Axes to vary. Raises DataError for one that the language has no list of."""
        known = axes_of(self.params.language)
        wanted = self.params.axes or tuple(axis for axis in AXES if axis in known)
        for axis in wanted:
            if axis not in known:
                raise DataError(
                    f"bias/counterfactual: language {self.params.language} has no list for axis {axis}; "
                    f"it has {', '.join(known)}"
                )
        return (*wanted, CONTROL) if self.params.control else wanted

    def _versions(self, axis: str, plan: Plan) -> Iterator[tuple[str, Swap]]:
        """Each template, or text that mentions the axis, with its versions or why it has none."""
        language = self.params.language
        if "texts" in plan.data:
            for text in plan.data["texts"].frame["text"]:
                made = swap(text, axis, language)
                if made is not None:
                    yield text, made
            return
        own = _own_templates(plan)
        for template, variants in filled_templates(axis, language, own):
            yield template, Swap(tuple(variants))

    def run(self, scorer: Scorer, cases: Sequence[Case]) -> Iterator[RowDict]:
        """One row per case; all versions go to the model together."""
        fit = [case for case in cases if case.data["variants"]]
        answers = iter(scorer.ask([TextRequest(v["text"]) for case in fit for v in case.data["variants"]]))
        for case in cases:
            if not case.data["variants"]:
                yield excluded_row(case, case.data["why_not"])
                continue
            mine = list(islice(answers, len(case.data["variants"])))
            unread = why_unread(scorer, [v["text"] for v in case.data["variants"]])
            yield error_row(case, unread) if unread else _row(case, mine, scorer.info.labels)

    def of_case(self, case: Case) -> RowDict:
        """Axis, '' for the control's, and template."""
        return {**super().of_case(case), "axis": _axis(case)}

    def cost(self, cases: Sequence[Case]) -> int:
        """Tokens of all versions."""
        return sum(len(v["text"]) // 4 + 3 for case in cases for v in case.data["variants"])


def _axis(case: Case) -> str:
    return "" if case.data["axis"] == CONTROL else str(case.data["axis"])


def _own_templates(plan: Plan) -> list[str] | None:
    """Templates of the user's own. Raises WrongDataError for one without a slot."""
    if "templates" not in plan.data:
        return None
    given = plan.data["templates"]
    for number, template in enumerate(given.frame["text"], start=1):
        if SLOT not in template:
            raise WrongDataError(
                f"{given.source.source}: template {number} of those used has no slot; write {SLOT} where the group goes"
            )
    return list(given.frame["text"])


def _nobody(plan: Plan, axes: Sequence[str], found: Sequence[Mapping[str, Any]]) -> str:
    """Why no text can be swapped, in one sentence."""
    left = [item["why_not"] for item in found if item["why_not"]]
    said = f" ({len(left)} left out, the first because {left[0]})" if left else ""
    source = plan.data["texts"].source.source if "texts" in plan.data else "bias/counterfactual"
    people = ", ".join(axis for axis in axes if axis != CONTROL)
    return (
        f"{source}: no text mentions one group of {people} alone and unambiguously{said}; "
        "leave data out to use the built-in templates"
    )


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
        axis=_axis(case),
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
