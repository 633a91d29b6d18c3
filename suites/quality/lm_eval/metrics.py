"""Metrics of lm-eval's tasks from rows: its aggregation gives the value, the rows the interval."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from harness.api.declared import Computed, Declared, Named, Of, Rows
from harness.api.estimates import ANY, POSITIVE, UNIT
from harness.api.lists import as_list
from harness.api.metrics import Better, Bounds, Metric, RowValues
from harness.stats.intervals import FloatArray, Interval
from suites.quality.lm_eval.chat import WITHOUT_SYSTEM
from suites.quality.lm_eval.corpus import interval_of
from suites.quality.lm_eval.rows import CORPUS

RATES = ("acc", "acc_norm", "acc_bytes", "acc_mutual_info", "exact_match")
"""Metrics of lm-eval that lie between 0 and 1; F1 is of 100 in some tasks."""
_LOWER = ("perplexity", "word_perplexity", "byte_perplexity", "bits_per_byte", "brier_score", "ter")
_HIGHER = ("f1", "mcc", "bleu", "chrf")
COLUMNS = ("task", "names", "values", "weights", "items", "aggregations", "betters", "groups", "shots", "version")
_FINISH: Mapping[str, Callable[[FloatArray], FloatArray]] = {
    "perplexity": np.exp,
    "weighted_perplexity": np.exp,
    "bits_per_byte": lambda nats: np.asarray(nats / np.log(2)),
}


def named_metric(key: str, better: Better) -> Named:
    """What is said of a metric of lm-eval by its name."""
    base = key.partition(".")[0]
    if base in RATES:
        return Named(key, better, unit="rate")
    bounds = {"brier_score": (0.0, 2.0), "mcc": (-1.0, 1.0)}.get(base)
    return Named(key, better, unit="bits" if base == "bits_per_byte" else "", bounds=bounds)


def declared_for(named: Named) -> Computed:
    """The declaration of one metric; rows of tasks that do not give it leave it out."""
    key = named.key
    return Computed(
        (named,),
        lambda rows, known: _measured(rows, known[key]),
        lambda rows, metric, part: _row_values(rows, metric, part),
        COLUMNS,
        about=Of(lambda names: names.map(lambda cell: key in as_list(cell)), ("names",)),
    )


STANDARD: tuple[Declared, ...] = tuple(
    declared_for(named_metric(key, better))
    for keys, better in ((RATES, Better.HIGHER), (_LOWER, Better.LOWER), (_HIGHER, Better.HIGHER))
    for key in keys
)
"""Metrics that lm-eval computes itself; a task may have others of its own."""


def found_in(rows: pd.DataFrame, known: Sequence[str]) -> list[Declared]:
    """Declarations of the metrics in rows that are not among those known."""
    found: dict[str, Better] = {}
    for names, betters in zip(rows["names"], rows["betters"], strict=True):
        found |= {name: Better(better) for name, better in zip(as_list(names), as_list(betters), strict=True)}
    return [declared_for(named_metric(key, better)) for key, better in found.items() if key not in known]


@dataclass(frozen=True, slots=True)
class _Part:
    """The documents of a slice that have a metric: places among all rows, and what each adds."""

    at: list[int]
    above: FloatArray
    below: FloatArray
    items: list[str]
    how: str

    def values(self, key: str) -> RowValues:
        return RowValues(self.above, self.below, None, _FINISH.get(self.how), _bounds(key, self.how))


def _bounds(key: str, how: str) -> Bounds:
    """Within which a document's own quotient lies, before it is finished."""
    if how in _FINISH:
        return POSITIVE
    named = named_metric(key, Better.NEITHER)
    return named.ends or (UNIT if named.unit == "rate" else ANY)


def _parts(rows: pd.DataFrame, key: str) -> dict[str, _Part | str]:
    """The metric by slice, '' for all rows; or why it has no value there."""
    entries = list(_entries(rows, key))
    tasks = list(dict.fromkeys(task for _, task, *_ in entries))
    everything = set(rows.loc[rows["status"] == "ok", "task"])
    found: dict[str, _Part | str] = {}
    groups: dict[str, tuple[str, int]] = {}
    for *_, means in entries:
        groups |= means
    failed = bool((rows["status"] == "error").any())
    for group, (weighing, expected) in groups.items():
        mine = [entry for entry in entries if group in entry[-1]]
        there = {entry[1] for entry in mine}
        by_size = weighing == "documents"
        # documents drawn from all tasks are a fair sample of all documents, also where none is of some task
        gone = expected - len(there) if failed or not by_size else 0
        why = f"{gone} of the {expected} tasks of {group} have no document that was measured; see the others' values"
        found["" if there == everything else group] = why if gone > 0 else _group_part(mine, by_size=by_size)
    if len(everything) == 1 and _tasks_asked(rows) <= 1:
        found[""] = _task_part(entries)
    else:
        found |= {task: _task_part([entry for entry in entries if entry[1] == task]) for task in tasks}
    return found


def _tasks_asked(rows: pd.DataFrame) -> int:
    """How many tasks were asked for, also where nothing of some was measured; rows of older versions do not say."""
    return int(rows["tasks"].max()) if "tasks" in rows and rows["tasks"].notna().any() else 1


def _entries(
    rows: pd.DataFrame, key: str
) -> Iterator[tuple[int, str, float, float, str, str, dict[str, tuple[str, int]]]]:
    """Place, task, above, below, item, aggregation and group means of each row that has the metric."""
    for at, row in enumerate(rows[["status", *COLUMNS]].itertuples(index=False)):
        if row.status != "ok" or key not in (names := as_list(row.names)):
            continue
        place = names.index(key)
        one = [as_list(cell)[place] for cell in (row.values, row.weights, row.items, row.aggregations)]
        yield (
            at,
            row.task,
            *one,
            {
                group: (by, int(count[0]) if count else 0)  # rows of older versions do not count the tasks
                for group, metric, by, *count in map(as_list, as_list(row.groups))
                if metric == key
            },
        )


def _task_part(entries: Sequence[Any]) -> _Part:
    at, _, above, below, items, hows, _ = (list(each) for each in zip(*entries, strict=True))
    return _Part(at, np.array(above, dtype=np.float64), np.array(below, dtype=np.float64), items, hows[0])


def _group_part(entries: Sequence[Any], *, by_size: bool) -> _Part | str:
    """All documents of a group; where tasks count alike each weighs one over its task's number."""
    part = _task_part(entries)
    hows = {entry[5] for entry in entries}
    if hows - {"mean", "nanmean", "brier_score"}:
        return f"a mean over tasks of {', '.join(sorted(hows))} is no mean over documents; see the tasks"
    if by_size:
        return part
    tasks = pd.Series([entry[1] for entry in entries])
    weights = (1 / tasks.map(tasks.value_counts())).to_numpy(np.float64)
    return _Part(part.at, part.above * weights, part.below * weights, part.items, "mean")


def _measured(rows: Rows, named: Named) -> Iterator[Metric]:
    parts = _parts(rows.all, named.key)
    for slice_name, part in sorted(parts.items()):
        fields: dict[str, Any] = {"slice": slice_name, "missing": 0 if slice_name else rows.missing}
        if isinstance(part, str):
            yield named.none(part, **fields)
            continue
        mine = rows.all.iloc[part.at]
        # a row of an error says no task; without a number over all of them each says that some are missing
        lost = f"; {rows.missing} documents of these tasks failed" if rows.missing and "" not in parts else ""
        yield _metric(named, part, note=_asked(mine) + lost, **fields)


def _metric(named: Named, part: _Part, *, note: str, **fields: Any) -> Metric:
    if part.how in CORPUS:
        return _of_corpus(named, part, note=note, **fields)
    if part.how.startswith("["):
        return named.none(f"the task aggregates it by a function of its own, {part.how}; not supported", **fields)
    good = np.isfinite(part.above)
    if not good.all():
        fields["missing"] += int((~good).sum())
        part = _Part(part.at, part.above[good], part.below[good], part.items, part.how)
    if not good.any():
        return named.none("no document has a number for it", **fields)
    if named.unit == "rate" and not ((part.above >= 0) & (part.above <= part.below)).all():
        return named.none(f"{named.key} lies between 0 and 1, and this task gives it otherwise", **fields)
    if named.unit == "rate" and (part.below == 1).all() and np.isin(part.above, (0, 1)).all():
        return named.share(int(part.above.sum()), len(part.above), note=note, **fields)
    return named.estimate(part.values(named.key), note=note, **fields)


def _of_corpus(named: Named, part: _Part, *, note: str, **fields: Any) -> Metric:
    """lm-eval's own function of all documents, with an interval over them."""
    try:
        from lm_eval.api import metrics  # noqa: F401
        from lm_eval.api.registry import get_aggregation
    except ImportError:
        why = f"{part.how} of a whole set is computed by lm-eval; pip install 'assay[lm-eval]'"
        return named.none(why, **fields)
    items = [json.loads(item) for item in part.items]
    try:
        value = float(get_aggregation(part.how)(items))
    except Exception as error:  # scikit-learn and sacrebleu refuse labels and texts in their own ways
        return named.none(f"lm-eval's {part.how} has no value ({type(error).__name__}: {str(error)[:200]})", **fields)
    if not math.isfinite(value):
        return named.none(f"lm-eval's {part.how} is {value}", **fields)
    interval = interval_of(part.how, items, value)
    return named.value(value, interval, len(items), note=note + _unbounded(interval, part.how), **fields)


def _unbounded(interval: Interval | None, how: str) -> str:
    """Why an end is missing; '' where none is."""
    if interval is None:
        return f"; no interval: these documents do not bound {how}"
    missing = [name for name, end in (("lower", interval.low), ("upper", interval.high)) if not math.isfinite(end)]
    return f"; no {missing[0]} end: too few documents to bound {how}" if missing else ""


def _asked(rows: pd.DataFrame) -> str:
    """How the documents were asked: shots and versions, as a published value has to say."""
    shots = ", ".join(f"{shots}-shot" for shots in sorted({int(each) for each in rows["shots"]}))
    cut = int((rows["truncated"] > 0).sum()) if "truncated" in rows else 0
    versions = sorted(set(rows["version"]))
    said = versions[0] if len(versions) == 1 else f"{len(versions)} versions of tasks"
    return f"{shots}; {said}{_through_template(rows)}" + (f"; {cut} documents cut on the left" if cut else "")


def _through_template(rows: pd.DataFrame) -> str:
    """Which of the documents were asked through the chat template; '' where none was."""
    hows = rows["chat"].fillna("") if "chat" in rows else pd.Series("", index=rows.index)
    asked, without = int((hows != "").sum()), int((hows == WITHOUT_SYSTEM).sum())
    if not asked:
        return ""
    which = "" if asked == len(rows) else f" ({asked} of {len(rows)} documents)"
    return f"; chat template{which}" + (f", system turn left out in {without}" if without else "")


def _row_values(rows: pd.DataFrame, metric: str, part: str) -> RowValues | None:
    """What each row adds; None where it is of whole sets, or no such slice is there."""
    found = _parts(rows, metric).get(part)
    if found is None or isinstance(found, str) or found.how in CORPUS or found.how.startswith("["):
        return None
    above, below = np.zeros(len(rows)), np.zeros(len(rows))
    above[found.at], below[found.at] = found.above, np.where(np.isfinite(found.above), found.below, 0.0)
    above[~np.isfinite(above)] = 0.0
    errors = (rows["status"] != "ok").to_numpy()
    above[errors] = np.nan
    values = found.values(metric)
    return RowValues(above, below, None, values.finish, values.bounds)
