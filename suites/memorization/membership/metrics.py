"""What rows of members and non-members say together, where a blind baseline cannot say it as well."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from harness.api.declared import Computed, Declared, Named, Rows, of
from harness.api.estimates import UNIT
from harness.api.metrics import Better, Metric
from harness.stats.differences import advantage, advantage_interval, newcombe
from suites.memorization.hygiene.judgeable import BLIND_AUC, blind_auc, members_of, where_both_sides, where_judgeable
from suites.memorization.hygiene.rates import Side, rate, rate_name, side_of

LOSS = "loss"
SIGNALS = ("log_odds", "zlib", "min_k", "min_k_pp", "calibrated", "neighbours")
"""Columns beside the loss, higher: likelier a member; each only where the model or the audit has it."""
_ADVANTAGE_NOTE = "largest TPR - FPR over all thresholds; leans upwards in small samples, the interval allows for it"
_PERMUTED_NOTE = "control: AUC of the loss with memberships drawn by lot; 0.5 but for chance"
_BASE_NOTE = "control: AUC of the loss before training; away from 0.5 the base knew members, or they are easier texts"
_SEED = 0
"""Of the control's lot."""


def declared_metrics(fprs: Sequence[float]) -> tuple[Declared, ...]:
    """All metrics, those of signals that a kind of model does not have left out where rows are of one."""
    main = (
        Named("auc", Better.LOWER, bounds=UNIT, note="0.5: the loss tells nothing; 1: it tells every member"),
        *(rate_name(_tpr_key(fpr), fpr) for fpr in fprs),
        Named("advantage", Better.LOWER, bounds=UNIT, note=_ADVANTAGE_NOTE),
    )
    gap = (Named("accuracy_gap", Better.LOWER, bounds=(-1.0, 1.0)),)
    permuted = Named("permuted_auc", Better.TARGET, target=0.5, bounds=UNIT, headline=False, note=_PERMUTED_NOTE)
    base = Named("base_auc", Better.NEITHER, bounds=UNIT, headline=False, note=_BASE_NOTE)
    return (
        Computed(main, where_judgeable(partial(_of_loss, fprs))),
        Computed(gap, where_judgeable(_accuracy_gap), about=_has("correct")),
        Computed((BLIND_AUC, permuted), where_both_sides(_controls)),
        Computed((base,), _base, about=_has("base_loss")),
        *(
            Computed(_signal_named(name, fprs), where_judgeable(partial(_of_signal, name, fprs)), about=_has(name))
            for name in SIGNALS
        ),
    )


def _signal_named(signal: str, fprs: Sequence[float]) -> tuple[Named, ...]:
    return (
        Named(f"auc_{signal}", Better.LOWER, bounds=UNIT, headline=False),
        *(rate_name(_tpr_key(fpr, signal), fpr, headline=False) for fpr in fprs),
    )


def _tpr_key(fpr: float, signal: str = "") -> str:
    return f"tpr_{signal}_at_fpr_{100 * fpr:g}pct" if signal else f"tpr_at_fpr_{100 * fpr:g}pct"


def _has(name: str) -> Any:
    """Whether rows hold a column's value."""
    return of(lambda values: values.notna(), name)


def _of_loss(fprs: Sequence[float], rows: Rows, named: Mapping[str, Named]) -> Iterator[Metric]:
    """AUC, TPR at fixed FPR and advantage of the loss."""
    side = side_of(rows.good, LOSS, -1.0)
    yield named["auc"].value(*side.area, min(side.sizes), missing=rows.missing)
    yield from _rates(side, fprs, rows, named)
    value = advantage(-side.members, -side.non_members)
    interval = advantage_interval(value, *side.sizes)
    yield named["advantage"].value(value, interval, min(side.sizes), missing=rows.missing)


def _of_signal(signal: str, fprs: Sequence[float], rows: Rows, named: Mapping[str, Named]) -> Iterator[Metric]:
    """AUC, and TPR at fixed FPR."""
    side = side_of(rows.good, signal)
    if min(side.sizes) == 0:
        yield from (each.none("no record of one side has this signal", missing=rows.missing) for each in named.values())
        return
    yield named[f"auc_{signal}"].value(*side.area, min(side.sizes), missing=rows.missing)
    yield from _rates(side, fprs, rows, named, signal)


def _rates(
    side: Side, fprs: Sequence[float], rows: Rows, named: Mapping[str, Named], signal: str = ""
) -> Iterator[Metric]:
    for place, fpr in enumerate(fprs):
        yield rate(named[_tpr_key(fpr, signal)], side, fpr, rows.missing, _ceiling(rows.good, place))


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
    member = members_of(rows.good)
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
    yield blind_auc(rows, named["blind_auc"])
    ordered = rows.good.sort_values("case_id", ignore_index=True)
    lot = np.random.default_rng(_SEED).permutation(members_of(ordered))
    drawn = side_of(ordered.assign(member=lot), LOSS, -1.0)
    yield named["permuted_auc"].value(*drawn.area, min(drawn.sizes), missing=rows.missing)


def _base(rows: Rows, named: Mapping[str, Named]) -> Iterator[Metric]:
    side = side_of(rows.good, "base_loss", -1.0)
    if min(side.sizes) == 0:
        yield named["base_auc"].none("the base's loss is known of one side only", missing=rows.missing)
        return
    yield named["base_auc"].value(*side.area, min(side.sizes), missing=rows.missing)
