"""bias/group_fairness: are a classifier's rates, errors and scores alike for the groups of labelled texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
from pandera.typing import Series
from pydantic import Field

from harness.api.case import Case, make_cases
from harness.api.columns import column, list_column
from harness.api.declared import Computed, Named, Rows
from harness.api.estimates import UNIT
from harness.api.lists import as_list
from harness.api.metrics import Better, Metric
from harness.api.needs import Need, any_of
from harness.api.probe import About, Input, Plan, Probe, ProbeParams, ProbeRow, RowDict, error_row, ok_row
from harness.api.scorer import ClassScores, Scorer, TextRequest
from harness.data.schemas import LabelledTexts
from harness.errors import DataError, WrongDataError
from harness.stats.intervals import Interval, Method, auc, auc_interval
from suites.bias.alike import unlike
from suites.bias.extremes import LEVEL, Estimate, farthest, largest_difference, level_for
from suites.bias.fairness.aucs import POWER, generalised_mean, group_aucs
from suites.bias.fairness.rates import group_rates
from suites.bias.multiple import holm
from suites.labels import class_of, true_classes

COLUMNS = ("group", "group_2", "group_3")
FEWEST = 30
"""Records below which a rate is masked: a share's 95 % interval is then up to 37 points wide."""
AUCS = ("subgroup_auc", "bpsn_auc", "bnsp_auc")


class GroupedTexts(LabelledTexts):
    """Labelled texts, each with the group it is about by up to three columns; an empty cell is no group."""

    group: Series[str] = pa.Field(coerce=True, nullable=True)
    group_2: Series[str] | None = pa.Field(coerce=True, nullable=True)
    group_3: Series[str] | None = pa.Field(coerce=True, nullable=True)


class GroupFairnessParams(ProbeParams):
    """Settings."""

    positive_class: str | None = Field(
        default=None, description="class, by name or index, held against all others; default: the last"
    )
    fewest: int = Field(default=FEWEST, ge=2, description="records below which a rate of a group is masked")
    intersections: bool = Field(default=True, description="also measure the groups that two columns make together")


class GroupFairnessRow(ProbeRow):
    """One row per text."""

    text: Series[str] = column("the text that was classified")
    axes: Series[object] = list_column("group columns by their names in the data, and pairs of them", of="string")
    groups: Series[object] = list_column("group by each of the axes; empty: none", of="string")
    label: Series[int] = column("true class, by index", ge=0)
    predicted: Series[int] = column("class with the largest probability, by index", ge=0)
    positive: Series[bool] = column("whether the true class is the positive one")
    answered: Series[bool] = column("whether the predicted class is the positive one")
    probability: Series[float] = column("probability of the positive class", ge=0, le=1 + 1e-9)
    positive_class: Series[str] = column("name of the positive class")
    fewest: Series[int] = column("records below which a rate of a group is masked", ge=2)

    @classmethod
    def contradictions(cls, rows: pd.DataFrame) -> Mapping[str, pd.Series[bool]]:
        """Rates are of one class, masked under one minimum."""
        return unlike(rows, "positive_class", "fewest")


_DIFFERENCES = {
    "demographic_parity_difference": "selection",
    "equal_opportunity_difference": "true_positive",
    "false_positive_difference": "false_positive",
    "calibration_difference": "calibration",
}
_RATES = {"selection_rate": "selection", "true_positive_rate": "true_positive", "false_positive_rate": "false_positive"}


def _by_axis(good: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame, pd.Series[str]]]:
    """Each axis with the rows that have a group on it, and these groups."""
    axes = as_list(good["axes"].iloc[0])
    columns = list(zip(*(as_list(cell) for cell in good["groups"]), strict=True))
    for axis, given in zip(axes, columns, strict=True):
        groups = pd.Series(given, index=good.index)
        here = groups != ""
        yield axis, good[here], groups[here]


def _differences(rows: Rows, named: Mapping[str, Named]) -> Iterator[Metric]:
    """Largest differences of each axis."""
    fewest = int(rows.good["fewest"].iloc[0])
    for axis, frame, groups in _by_axis(rows.good):
        level = level_for(groups.nunique(), (1 + LEVEL) / 2)  # half of the error for each rate of the equalized odds
        rates = group_rates(frame, groups, level, fewest)
        made = {key: _difference(rates[rate]) for key, rate in _DIFFERENCES.items()}
        odds = [made["equal_opportunity_difference"], made["false_positive_difference"]]
        made["equalized_odds_difference"] = None if None in odds else _worse(odds)
        for key, found in made.items():
            of = [_DIFFERENCES[key]] if key in _DIFFERENCES else ["true_positive", "false_positive"]
            masked = sorted(group for group in set(groups) if any(group not in rates[rate] for rate in of))
            if found is None:
                why = f"fewer than two groups have the {fewest} records that a rate needs"
                yield named[key].none(why, slice=axis)
                continue
            value, interval, which = found
            note = farthest(which, "over") + (
                f"; masked, under {fewest} records: {', '.join(masked)}" if masked else ""
            )
            n = sum(_records(frame, groups.isin(list(rates[rate])), rate) for rate in of)
            yield named[key].value(value, interval, n, slice=axis, note=note, missing=rows.missing)


def _records(frame: pd.DataFrame, compared: pd.Series[bool], rate: str) -> int:
    """Records of the groups compared that the rate is of: the positive ones, the negative ones, or all."""
    positive = frame["positive"].astype(bool)
    of = {"true_positive": positive, "false_positive": ~positive}.get(rate, compared)
    return int((compared & of).sum())


Difference = tuple[float, Interval, tuple[str, str]]


def _difference(rates: Mapping[str, Estimate]) -> Difference | None:
    return largest_difference(rates) if len(rates) >= 2 else None


def _worse(found: Sequence[Difference | None]) -> Difference:
    """The larger of two differences; its ends are the larger of theirs, each of which errs half as often."""
    given = [each for each in found if each is not None]
    value, _, which = max(given, key=lambda each: each[0])
    low, high = max(each[1].low for each in given), max(each[1].high for each in given)
    return value, Interval(min(low, value), high, f"{Method.DIFFERENCE}, larger of two", LEVEL), which


def _rates(rows: Rows, named: Mapping[str, Named]) -> Iterator[Metric]:
    """Rates of each group, with a test of its answers against those of all others."""
    fewest = int(rows.good["fewest"].iloc[0])
    for axis, frame, groups in _by_axis(rows.good):
        parts = {group: frame[groups == group] for group in sorted(set(groups))}
        enough = [group for group, mine in parts.items() if fewest <= len(mine) < len(frame)]
        tested = holm({group: _against_others(frame, groups == group) for group in enough})
        for group, mine in parts.items():
            answered, label = mine["answered"].to_numpy(np.bool_), mine["positive"].to_numpy(np.bool_)
            chosen = {"selection": answered, "true_positive": answered[label], "false_positive": answered[~label]}
            for key, rate in _RATES.items():
                hits, part = chosen[rate], f"{axis}: {group}"
                if len(hits) < fewest:
                    yield named[key].none(f"{len(hits)} records, masked under {fewest}", slice=part)
                    continue
                note = (
                    f"against all others, Fisher's test by Holm over {len(enough)} groups: p = {tested[group]:.2g}"
                    if rate == "selection" and group in tested
                    else ""
                )
                yield named[key].share(int(hits.sum()), len(hits), slice=part, note=note)


def _against_others(frame: pd.DataFrame, mine: pd.Series[bool]) -> float:
    """P-value that the group is answered positive as often as the other records of the axis."""
    answered = frame["answered"].astype(bool)
    table = [[int((answered & side).sum()), int((~answered & side).sum())] for side in (mine, ~mine)]
    from scipy.stats import fisher_exact

    return float(fisher_exact(table)[1])


def _aucs(rows: Rows, named: Mapping[str, Named]) -> Iterator[Metric]:
    """The AUC of all, Borkan et al.'s three of each group, and their means over the groups of an axis."""
    fewest = int(rows.good["fewest"].iloc[0])
    yield _overall_auc(rows, named["auc"])
    for axis, frame, groups in _by_axis(rows.good):
        scores, positive = frame["probability"].to_numpy(np.float64), frame["positive"].to_numpy(np.bool_)
        names = sorted(set(groups))
        by_group = {g: group_aucs(scores, positive, (groups == g).to_numpy(), fewest, len(names)) for g in names}
        for key in AUCS:
            for group, found in by_group.items():
                one, part = found[key], f"{axis}: {group}"
                if one is None:
                    yield named[key].none(f"a side of it has under {fewest} records, masked", slice=part)
                else:
                    yield named[key].value(one.value, one.interval, one.n, slice=part)
            known = [one for found in by_group.values() if (one := found[key]) is not None]
            mean = named[f"{key}_mean"]
            if not known:
                yield mean.none(f"no group has {fewest} records on both sides", slice=axis)
                continue
            value = generalised_mean([a.value for a in known])
            low, high = (generalised_mean([getattr(a.together, end) for a in known]) for end in ("low", "high"))
            interval = Interval(min(low, value), max(high, value), f"{Method.AUC}, all groups together")
            yield mean.value(
                value,
                interval,
                len(frame),
                slice=axis,
                note=f"power mean (p = {POWER:g}) over {len(known)} of {len(names)} groups",
            )


def _overall_auc(rows: Rows, named: Named) -> Metric:
    positive = rows.good["positive"].to_numpy(np.bool_)
    scores = rows.good["probability"].to_numpy(np.float64)
    n, m = int(positive.sum()), int((~positive).sum())
    if not min(n, m):
        return named.none("all texts have the same label", missing=rows.missing)
    value = auc(scores[positive], scores[~positive])
    return named.value(value, auc_interval(value, n, m), n + m, missing=rows.missing)


def _lower(key: str) -> Named:
    return Named(key, Better.LOWER, bounds=UNIT, sliced_only=True)


class GroupFairness(Probe[GroupFairnessParams]):
    """Group fairness of a text classifier on labelled texts."""

    name = "bias/group_fairness"
    about = About(
        summary="Whether a classifier's positive answers, errors, calibration and ranking are alike for all groups",
        paper="Hardt et al. 2016, Equality of Opportunity (equalized odds); Borkan et al. 2019, Nuanced Metrics for "
        "Measuring Unintended Bias (AUCs)",
        cannot_tell="whether labels or samples are themselves skewed between groups, which of these criteria is the "
        "right one (they exclude each other where base rates differ), or anything of groups under the minimum size",
    )
    needs = (any_of(Need.SEQUENCE_CLASSIFIER),)
    inputs = {  # noqa: RUF012
        "grouped": Input(GroupedTexts, "labelled texts with a column 'group' (and group_2, group_3), mapped by columns")
    }
    metrics = (
        Computed(
            (
                _lower("demographic_parity_difference"),
                _lower("equalized_odds_difference"),
                _lower("equal_opportunity_difference"),
                _lower("false_positive_difference"),
                Named("calibration_difference", Better.LOWER, bounds=(0.0, 2.0), sliced_only=True),
            ),
            _differences,
        ),
        Computed(tuple(Named(key, Better.NEITHER, unit="rate", sliced_only=True) for key in _RATES), _rates),
        Computed(
            (
                Named("auc", Better.HIGHER, bounds=UNIT),
                *(Named(key, Better.HIGHER, bounds=UNIT, sliced_only=True) for key in AUCS),
                *(Named(f"{key}_mean", Better.HIGHER, bounds=UNIT, sliced_only=True) for key in AUCS),
            ),
            _aucs,
        ),
    )
    nothing = "no text could be classified"
    Params = GroupFairnessParams
    Row = GroupFairnessRow

    def cases(self, plan: Plan) -> list[Case]:
        """One case per text. Raises WrongDataError where no axis has two groups of the minimum size."""
        labels, wanted = plan.checkpoint.labels, self.params.positive_class
        classes = true_classes(plan, "grouped", None)
        positive = len(labels) - 1 if wanted is None else class_of(wanted, labels)
        if positive is None:
            raise DataError(f"{self.name}: positive_class {wanted!r} is none of the classes {', '.join(labels)}")
        frame = plan.data["grouped"].frame
        axes = self._axes(plan)
        pairs = frame["pair"] if "pair" in frame else [None] * len(frame)
        given = zip(frame["text"], pairs, classes, zip(*axes.values(), strict=True), strict=True)
        shared = {"axes": list(axes), "positive": positive}
        return make_cases(
            {"text": text, "pair": pair, "label": label, "groups": list(groups), **shared}
            for text, pair, label, groups in given
        )

    def _axes(self, plan: Plan) -> dict[str, list[str]]:
        """Groups [n] of each axis by its name in the data. Raises WrongDataError where nothing can be compared."""
        data = plan.data["grouped"]
        shown, frame = data.source.source, data.frame
        axes: dict[str, list[str]] = {}
        for name in (name for name in COLUMNS if name in frame):
            axis = data.source.columns.get(name, name)
            groups = [str(value).strip() for value in frame[name].fillna("")]
            counts = pd.Series([group for group in groups if group]).value_counts()
            if len(counts) < 2:
                raise WrongDataError(
                    f"{shown}: column {axis!r} has {len(counts)} group in the rows used, where two are needed; "
                    "map another column with columns: {" + name + ": <its name>}"
                )
            if (counts >= self.params.fewest).sum() < 2:
                raise WrongDataError(
                    f"{shown}: column {axis!r} has fewer than two groups of {self.params.fewest} texts (the largest "
                    f"has {counts.iloc[0]}, the next {counts.iloc[1]}); give more texts, or lower params: fewest"
                )
            axes[axis] = groups
        if self.params.intersections:
            for first, second in combinations(list(axes), 2):
                both = zip(axes[first], axes[second], strict=True)
                axes[f"{first} x {second}"] = [f"{a} x {b}" if a and b else "" for a, b in both]
        return axes

    def run(self, scorer: Scorer, cases: Sequence[Case]) -> Iterator[RowDict]:
        """One row per text."""
        answers = scorer.ask([TextRequest(case.data["text"], case.data["pair"]) for case in cases])
        for case, answer in zip(cases, answers, strict=True):
            if answer.error is not None:
                yield error_row(case, answer.error)
            else:
                yield self._row(case, answer, scorer.info.labels)

    def _row(self, case: Case, answer: ClassScores, labels: Sequence[str]) -> dict[str, Any]:
        positive = case.data["positive"]
        return ok_row(
            case,
            text=case.data["text"],
            axes=case.data["axes"],
            groups=case.data["groups"],
            label=case.data["label"],
            predicted=answer.label,
            positive=case.data["label"] == positive,
            answered=answer.label == positive,
            probability=float(answer.probabilities[positive]),
            positive_class=labels[positive],
            fewest=self.params.fewest,
        )
