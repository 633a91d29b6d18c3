"""What rows of members and non-members say together, where a blind baseline cannot say it as well."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from harness.api.declared import Computed, Declared, Named, Rows, of
from harness.api.estimates import UNIT
from harness.api.metrics import Better, Metric
from harness.api.scorer import Bools, Floats
from harness.stats.differences import advantage, advantage_interval, newcombe, rate_at_threshold
from harness.stats.intervals import Interval, Method, auc, auc_interval
from suites.memorization.blind.baseline import FEWEST, Blind, why_different
from suites.memorization.membership.blind import blind_of

LOSS = "loss"
SIGNALS = ("log_odds", "zlib", "min_k", "min_k_pp", "calibrated")
"""Columns beside the loss, higher: likelier a member; each only where the model or the audit has it."""
FALSE_POSITIVES_NEEDED = 5
"""Expected at a rate. Below 4.4 of them no threshold is known to be strict enough, and the interval begins at 0."""
_ADVANTAGE_NOTE = "largest TPR - FPR over all thresholds; leans upwards in small samples, the interval allows for it"
_BLIND_NOTE = "texts alone, no model; away from 0.5 members and non-members differ in kind, and nothing else is judged"
_PERMUTED_NOTE = "control: AUC of the loss with memberships drawn by lot; 0.5 but for chance"
_BASE_NOTE = "control: AUC of the loss before training; away from 0.5 the base knew members, or they are easier texts"
_NO_BLIND = "too few records were compared by their texts alone"
_SEED = 0
"""Of the control's lot."""


@dataclass(frozen=True, slots=True)
class Side:
    """Scores of members and of non-members, higher: likelier a member."""

    members: Floats
    non_members: Floats

    @property
    def sizes(self) -> tuple[int, int]:
        """How many there are of each."""
        return len(self.members), len(self.non_members)

    @property
    def area(self) -> tuple[float, Interval]:
        """AUC with its interval."""
        value = auc(self.members, self.non_members)
        return value, auc_interval(value, *self.sizes)


def declared_metrics(fprs: Sequence[float]) -> tuple[Declared, ...]:
    """All metrics, those of signals that a kind of model does not have left out where rows are of one."""
    main = (
        Named("auc", Better.LOWER, bounds=UNIT, note="0.5: the loss tells nothing; 1: it tells every member"),
        *(Named(_tpr_key(fpr), Better.LOWER, unit="rate") for fpr in fprs),
        Named("advantage", Better.LOWER, bounds=UNIT, note=_ADVANTAGE_NOTE),
    )
    gap = (Named("accuracy_gap", Better.LOWER, bounds=(-1.0, 1.0)),)
    return (
        Computed(main, _where_judgeable(partial(_of_loss, fprs))),
        Computed(gap, _where_judgeable(_accuracy_gap), about=_has("correct")),
        Computed(
            (
                Named("blind_auc", Better.TARGET, target=0.5, bounds=UNIT, note=_BLIND_NOTE),
                Named("permuted_auc", Better.TARGET, target=0.5, bounds=UNIT, headline=False, note=_PERMUTED_NOTE),
            ),
            _controls,
        ),
        Computed(
            (Named("base_auc", Better.NEITHER, bounds=UNIT, headline=False, note=_BASE_NOTE),),
            _base,
            about=_has("base_loss"),
        ),
        *(
            Computed(_signal_named(name, fprs), _where_judgeable(partial(_of_signal, name, fprs)), about=_has(name))
            for name in SIGNALS
        ),
    )


def _signal_named(signal: str, fprs: Sequence[float]) -> tuple[Named, ...]:
    return (
        Named(f"auc_{signal}", Better.LOWER, bounds=UNIT, headline=False),
        *(Named(_tpr_key(fpr, signal), Better.LOWER, unit="rate", headline=False) for fpr in fprs),
    )


def _tpr_key(fpr: float, signal: str = "") -> str:
    return f"tpr_{signal}_at_fpr_{100 * fpr:g}pct" if signal else f"tpr_at_fpr_{100 * fpr:g}pct"


def _has(name: str) -> Any:
    """Whether rows hold a column's value."""
    return of(lambda values: values.notna(), name)


Make = Callable[[Rows, Mapping[str, Named]], Iterator[Metric]]


def _where_judgeable(make: Make) -> Make:
    """Metrics without a value where a side is empty, or where texts alone tell the sides apart."""

    def judged(rows: Rows, named: Mapping[str, Named]) -> Iterator[Metric]:
        member = _member(rows.good)
        if member.all() or not member.any():
            yield from _all_none(rows, named)
            return
        why = _why_unjudgeable(rows.good)
        for metric in make(rows, named):
            yield metric if why is None else _unjudged(metric, named[metric.key], why)

    return judged


def _why_unjudgeable(good: pd.DataFrame) -> str | None:
    """Why a signal of the model would say nothing; None where the blind baseline finds none."""
    blind = _blind(good)
    why = None if blind is None else why_different(blind)
    return None if why is None else f"not judgeable: {why}"


def _unjudged(metric: Metric, named: Named, why: str) -> Metric:
    if metric.value is None:
        return metric
    return named.none(f"{why} (it would have been {metric.value:.4g})", missing=metric.missing)


def _all_none(rows: Rows, named: Mapping[str, Named]) -> Iterator[Metric]:
    member = _member(rows.good)
    why = f"{member.sum()} members and {(~member).sum()} non-members were scored; both are needed"
    yield from (each.none(why, missing=rows.missing) for each in named.values())


def _of_loss(fprs: Sequence[float], rows: Rows, named: Mapping[str, Named]) -> Iterator[Metric]:
    """AUC, TPR at fixed FPR and advantage of the loss."""
    side = _side(rows.good, LOSS, -1.0)
    yield named["auc"].value(*side.area, min(side.sizes), missing=rows.missing)
    for place, fpr in enumerate(fprs):
        yield _tpr(side, fpr, named[_tpr_key(fpr)], rows, place, refuse=not _classifies(rows.good))
    value = advantage(-side.members, -side.non_members)
    interval = advantage_interval(value, *side.sizes)
    yield named["advantage"].value(value, interval, min(side.sizes), missing=rows.missing)


def _of_signal(signal: str, fprs: Sequence[float], rows: Rows, named: Mapping[str, Named]) -> Iterator[Metric]:
    """AUC, and TPR at fixed FPR."""
    side = _side(rows.good, signal)
    if min(side.sizes) == 0:
        yield from (each.none("no record of one side has this signal", missing=rows.missing) for each in named.values())
        return
    yield named[f"auc_{signal}"].value(*side.area, min(side.sizes), missing=rows.missing)
    for place, fpr in enumerate(fprs):
        yield _tpr(side, fpr, named[_tpr_key(fpr, signal)], rows, place, refuse=True)


def _tpr(side: Side, fpr: float, named: Named, rows: Rows, place: int, *, refuse: bool) -> Metric:
    """Members above the least threshold that at most `fpr` of the non-members lie above.

    The interval is of the rate at that FPR among all non-members, so it allows for where these put the threshold.
    `refuse`: no value where they are too few for it. That of a classifier's loss is older than this rule and keeps its
    value, whose interval begins at 0 there.
    """
    losses, others, missing = -side.members, -side.non_members, rows.missing
    few = fpr * len(others) + 1e-9 < FALSE_POSITIVES_NEEDED
    if few and refuse:
        return named.none(_too_few(fpr, len(others)), missing=missing)
    allowed = int(fpr * len(others) + 1e-9)
    threshold = np.sort(others)[allowed]
    attained = float((others < threshold).mean())
    hits = int((losses < threshold).sum())
    note = f"attained FPR {attained:.4f} with {len(others)} non-members"
    note += f", too few to know the threshold well: {_needed(fpr):,} are needed" if few and fpr > 0 else ""
    note += _ceiling(rows.good, place)
    interval = rate_at_threshold(losses, others, fpr)
    return named.value(hits / len(losses), interval, len(losses), missing=missing, note=note)


def _too_few(fpr: float, count: int) -> str:
    if fpr <= 0:
        return "no number of non-members shows a false-positive rate of 0; ask for one above it"
    return (
        f"a false-positive rate of {100 * fpr:g} % needs {_needed(fpr):,} non-members, {FALSE_POSITIVES_NEEDED} of "
        f"them beyond the threshold, and {count:,} were scored; give more, or ask for a higher rate"
    )


def _needed(fpr: float) -> int:
    return math.ceil(FALSE_POSITIVES_NEEDED / fpr - 1e-9)


def _ceiling(good: pd.DataFrame, place: int) -> str:
    """What the claim allows at the rate of this place; '' where nothing is claimed."""
    first = good.iloc[0]
    if not len(first["ceilings"]):
        return ""
    return (
        f"; the claim, epsilon <= {first['claimed']:.4g} at delta {first['delta']:.3g}, allows every attack at most "
        f"{first['ceilings'][place]:.4f}"
    )


def _accuracy_gap(rows: Rows, named: Mapping[str, Named]) -> Iterator[Metric]:
    member = _member(rows.good)
    correct = rows.good["correct"].to_numpy(dtype=np.bool_, na_value=False)
    members, others = correct[member], correct[~member]
    hits, sizes = (int(members.sum()), int(others.sum())), (len(members), len(others))
    shares = hits[0] / sizes[0], hits[1] / sizes[1]
    note = f"accuracy {shares[0]:.4f} on members, {shares[1]:.4f} on held-out records"
    interval = newcombe(hits[0], sizes[0], hits[1], sizes[1])
    value = shares[0] - shares[1]
    yield named["accuracy_gap"].value(value, interval, min(sizes), missing=rows.missing, note=note)


def _controls(rows: Rows, named: Mapping[str, Named]) -> Iterator[Metric]:
    """What the texts alone tell, and what the loss tells of memberships drawn by lot."""
    member = _member(rows.good)
    if member.all() or not member.any():
        yield from _all_none(rows, named)
        return
    blind = _blind(rows.good)
    if blind is None:
        yield named["blind_auc"].none(_NO_BLIND, missing=rows.missing)
    else:
        few = min(blind.members, blind.non_members)
        interval = Interval(blind.low, blind.high, Method.AUC_FOLDS)
        note = _BLIND_NOTE if few >= FEWEST else f"{_BLIND_NOTE}; {few} a side may hide one: give {FEWEST}"
        yield named["blind_auc"].value(blind.auc, interval, few, missing=rows.missing, note=note)
    ordered = rows.good.sort_values("case_id", ignore_index=True)
    lot = np.random.default_rng(_SEED).permutation(_member(ordered))
    losses = -ordered[LOSS].to_numpy(np.float64)
    drawn = Side(losses[lot], losses[~lot])
    yield named["permuted_auc"].value(*drawn.area, min(drawn.sizes), missing=rows.missing)


def _base(rows: Rows, named: Mapping[str, Named]) -> Iterator[Metric]:
    side = _side(rows.good, "base_loss", -1.0)
    if min(side.sizes) == 0:
        yield from _all_none(rows, named)
        return
    yield named["base_auc"].value(*side.area, min(side.sizes), missing=rows.missing)


def _blind(good: pd.DataFrame) -> Blind | None:
    """The blind baseline of rows; None where too few were compared."""
    scores, folds = (good[name].to_numpy(dtype=np.float64, na_value=np.nan) for name in ("blind", "blind_fold"))
    return blind_of(scores, folds, _member(good))


def _classifies(good: pd.DataFrame) -> bool:
    return bool(good["label"].notna().any())


def _member(good: pd.DataFrame) -> Bools:
    return good["member"].to_numpy(dtype=np.bool_)


def _side(good: pd.DataFrame, name: str, sign: float = 1.0) -> Side:
    """A column's values times `sign`, by side; rows that have none are left out."""
    values, member = sign * good[name].to_numpy(dtype=np.float64, na_value=np.nan), _member(good)
    known = ~np.isnan(values)
    return Side(values[known & member], values[known & ~member])
