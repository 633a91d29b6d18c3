"""What the rows of adversarial/checklist add up to: failure rates by test, capability, kind and over all.

What is counted is the test case: it fails if any of its changed versions fails, as in CheckList. Cases that do not
apply (no name to change, no room to fall) are neither passed nor failed, nor missing; their number has its own metric.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from harness.api.declared import Computed, Declared, Named, Rows
from harness.api.estimates import UNIT
from harness.api.lists import as_list
from harness.api.means import ratio_interval, unit_sums
from harness.api.metrics import Better, Metric, RowValues
from harness.stats.intervals import clopper_pearson
from suites.adversarial.checklist.templates import Kind

PASSED, FAILED, NOT_APPLICABLE = "passed", "failed", "not applicable"
VALUE_COLUMNS = ("kind", "capability", "test", "source", "base", "outcome")
_FAILURES = Named("failure_rate", Better.LOWER, unit="rate")
_IDLE = Named("not_applicable", Better.NEITHER, unit="rate", headline=False)
_VERSIONS = Named("version_failure_rate", Better.LOWER, unit="rate", sliced_only=True)


def rate_of(kind: str) -> str:
    """Key of a kind's failure rate."""
    return f"{kind.lower()}_failure_rate"


def slice_name(kind: str, capability: str, test: str = "", source: str = "") -> str:
    """Slice of a test ('INV Robustness: one typo (examples)') or of all tests of a capability ('INV Robustness')."""
    return f"{kind} {capability}" + (f": {test}" if test else "") + (" (examples)" if source == "examples" else "")


def checklist_metrics(kinds: Sequence[Kind]) -> tuple[Declared, ...]:
    """failure_rate over all rows, by capability and by test; each kind's own; shares not applicable and of versions.

    Over kinds and capabilities, cases of one template (or one text of the user's) are taken as if they always fell
    together: the interval is over templates, n Kish's effective number of them. Within a test each filling counts as
    one observation: its interval is about other fillings of its templates, not about other wordings.
    """
    own = {kind: Named(rate_of(kind), Better.LOWER, unit="rate") for kind in kinds}
    named = (_FAILURES, *own.values(), _IDLE, _VERSIONS)
    return (Computed(named, partial(_measure, own), row_values, VALUE_COLUMNS),)


def _measure(own: Mapping[Kind, Named], rows: Rows, named: Mapping[str, Named]) -> Iterator[Metric]:
    good, missing = rows.good, rows.missing
    errors = rows.all[rows.all["status"] == "error"]["error"].astype(str)
    yield _failures(_FAILURES, good, "", missing)
    for kind, each in own.items():
        yield _of_kind(each, good, kind, _lost(errors, kind))
    yield _not_applicable(good, "", missing)
    yield from _of_versions(good)
    yield from _of_tests(good, errors)


def row_values(rows: pd.DataFrame, metric: str, part: str) -> RowValues | None:
    """What each row adds to a failure rate, clustered by template; None for the other metrics and slices."""
    kinds = {rate_of(kind): kind for kind in ("MFT", "INV", "DIR")}
    ok = (rows["status"] == "ok").to_numpy()
    if metric == "failure_rate" and part:
        names = zip(rows["kind"], rows["capability"], rows["test"], rows["source"], strict=True)
        of_test = [part in (slice_name(k, c), slice_name(k, c, t, s)) for k, c, t, s in names]
        mine = np.asarray(of_test, dtype=np.bool_)
    elif metric == "failure_rate":
        mine = np.ones(len(rows), dtype=np.bool_)
    elif metric in kinds and not part:
        mine = (rows["kind"] == kinds[metric]).to_numpy(dtype=np.bool_, na_value=False)
    else:
        return None
    outcome = rows["outcome"].astype(object).to_numpy()
    failed = np.where(ok, (mine & (outcome == FAILED)).astype(np.float64), np.nan)
    counted = mine & (outcome != NOT_APPLICABLE) & ok
    clusters = rows["base"].astype(object).where(ok, rows["case_id"]).to_numpy()
    return RowValues(failed, counted.astype(np.float64), clusters, bounds=UNIT)


def _of_kind(named: Named, good: pd.DataFrame, kind: Kind, missing: int) -> Metric:
    """A kind's failure rate; what of it could not be planned stands in the note."""
    why = _left_out(good).get(kind, "")
    mine = good[good["kind"] == kind]
    if mine.empty:
        return named.none(why or f"no case of kind {kind} was drawn", missing=missing)
    found = _failures(named, mine, "", missing)
    return found.model_copy(update={"note": "; ".join(filter(None, [found.note, why]))})


def _of_tests(good: pd.DataFrame, errors: pd.Series[str]) -> list[Metric]:
    """Failure rates by kind and capability, and by test."""
    metrics = []
    for (kind, capability), some in good.groupby(["kind", "capability"]):
        name = slice_name(str(kind), str(capability))
        metrics.append(_failures(_FAILURES, some, name, _lost(errors, name)))
        for (test, source), mine in some.groupby(["test", "source"]):
            name = slice_name(str(kind), str(capability), str(test), str(source))
            metrics.append(_failures(_FAILURES, mine, name, _lost(errors, name), test=True))
            if (mine["outcome"] == NOT_APPLICABLE).any():
                metrics.append(_not_applicable(mine, name, _lost(errors, name)))
    return metrics


def _failures(named: Named, rows: pd.DataFrame, part: str, missing: int, *, test: bool = False) -> Metric:
    """Failed cases over those that passed or failed; missing where none did."""
    counted = rows[rows["outcome"] != NOT_APPLICABLE]
    idle = len(rows) - len(counted)
    if counted.empty:
        reasons = "; ".join(sorted(set(rows["why"].dropna().astype(str)))[:3])
        return named.none(f"none of {len(rows)} cases applies: {reasons}", missing=missing, slice=part)
    failed = (counted["outcome"] == FAILED).to_numpy(dtype=np.float64)
    notes = [f"{int(failed.sum())} of {len(counted)} cases fail"]
    notes += [f"{idle} more do not apply"] if idle else []
    notes += [f"{counted['base'].nunique()} templates or texts"] if test else []
    shared: dict[str, Any] = {"slice": part, "missing": missing, "note": ", ".join(notes)}
    # in a test, one text is one observation; elsewhere cases of one template may stand and fall together
    return clustered_share(named, failed, np.ones(len(counted)), counted["text" if test else "base"], **shared)


def clustered_share(named: Named, hits: ArrayLike, trials: ArrayLike, clusters: ArrayLike, **fields: Any) -> Metric:
    """sum(hits) / sum(trials) over rows [n], with an interval over clusters of rows.

    n is Kish's (sum m)^2 / sum m^2 for clusters of m trials, rounded down: the number of independent trials that are as
    good when all trials of a cluster agree, the worst case.
    """
    columns = np.stack([np.asarray(hits, dtype=np.float64), np.asarray(trials, dtype=np.float64)])
    units = unit_sums(columns, np.asarray(clusters, dtype=object))
    total, sizes = columns.sum(axis=1), units[:, 1]
    n = max(1, math.floor(sizes.sum() ** 2 / (sizes**2).sum() + 1e-9))
    interval = ratio_interval(units, RowValues(columns[0], columns[1], clusters, bounds=UNIT))
    if n == total[1] or interval is None:  # one trial each: a share
        interval = clopper_pearson(int(total[0]), n)
    value = float(total[0] / total[1])
    return named.value(value, interval, n, **fields)


def _not_applicable(rows: pd.DataFrame, part: str, missing: int) -> Metric:
    """Share of the cases that say nothing, with the commonest reasons."""
    idle = rows["outcome"] == NOT_APPLICABLE
    reasons = rows.loc[idle, "why"].value_counts()
    note = "; ".join(
        [f"{int(idle.sum())} of {len(rows)} cases", *(f"{n} x {why}" for why, n in reasons.head(3).items())]
    )
    shared: dict[str, Any] = {"slice": part, "missing": missing, "note": note}
    return clustered_share(_IDLE, idle, np.ones(len(rows)), rows["base"], **shared)


def _of_versions(good: pd.DataFrame) -> list[Metric]:
    """Share of changed versions that fail: unlike the rate of cases it does not grow with the number of versions."""
    metrics = []
    for kind in ("INV", "DIR"):
        mine = good[(good["kind"] == kind) & (good["outcome"] != NOT_APPLICABLE)]
        verdicts = [[v["failed"] for v in as_list(each) if v["failed"] is not None] for each in mine["versions"]]
        if verdicts:
            hits, trials = [sum(each) for each in verdicts], [len(each) for each in verdicts]
            note = f"{sum(hits)} of {sum(trials)} changed versions fail"
            metrics.append(clustered_share(_VERSIONS, hits, trials, mine["base"], slice=kind, note=note))
    return metrics


def _lost(errors: pd.Series[str], part: str) -> int:
    """Error rows of a kind, a capability or a test: an error row has no other column, so its reason says which.

    Those that do not (the probe itself crashed) may belong to any, and count for each.
    """
    known = errors.str.startswith(("MFT ", "INV ", "DIR "))
    return int((errors.str.startswith((f"{part}: ", f"{part} ")) | ~known).sum())


def _left_out(good: pd.DataFrame) -> dict[str, str]:
    """Kinds that could not be planned, with the reason; the same in every row."""
    found: dict[str, str] = json.loads(good["left_out"].iloc[0])
    return found
