"""Metrics, each declared once: its name, unit, direction and bounds, and how rows make it. All else derives from that.

`measure`, what each row adds (`row_values`, which lets two audits be paired), the columns that takes, which metrics are
shares of cases, their ends and the docs come from the same declaration, so that none can miss a metric.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from harness.api.estimates import ANY, UNIT, estimate, share, with_interval
from harness.api.metrics import Better, Bounds, Control, Metric, RowValues, missing_metric
from harness.stats.intervals import FloatArray, Interval

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Of:
    """A column made of others: `by` gets them in this order as Series [n] and gives [n] numbers or truth values."""

    by: Callable[..., Any]
    columns: tuple[str, ...]


Column = str | Of
"""A column of the rows, by name or made of others; a value that is NaN gives none for that row."""


def of(by: Callable[..., Any], *columns: str) -> Of:
    """`by` of these columns, e.g. `of(operator.eq, "label", "predicted")`."""
    return Of(by, columns)


def equal(column: str, value: Any) -> Of:
    """Whether a column has this value."""
    return Of(lambda values: values == value, (column,))


@dataclass(frozen=True, slots=True)
class By:
    """Slices of a metric: one per value of each column, in order; '' is no slice.

    A slice is called by its value, and where two columns have the value by `column: value`.
    """

    columns: tuple[str, ...]

    def parts(self, rows: pd.DataFrame) -> list[str]:
        """Names of the slices that occur."""
        values = {name: sorted(set(_texts(rows[name]).dropna()) - {""}) for name in self.columns if name in rows}
        times = Counter(value for found in values.values() for value in found)
        return [f"{name}: {value}" if times[value] > 1 else value for name, found in values.items() for value in found]

    def mask(self, rows: pd.DataFrame, part: str) -> Mask:
        """Which rows are of a slice, [n]; a row that does not hold the column is of none."""
        hits = np.zeros(len(rows), dtype=np.bool_)
        for name in self.columns:
            if name in rows:
                hits |= _texts(rows[name]).isin({part, part.removeprefix(f"{name}: ")}).to_numpy()
        return hits


def _texts(values: pd.Series[Any]) -> pd.Series[Any]:
    """The values as text: whole numbers without a point, though a missing one beside them has made them floats."""
    return values if isinstance(values.dtype, pd.StringDtype) else values.map(_text, na_action="ignore").astype("str")


def _text(value: object) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


@dataclass(frozen=True, slots=True)
class Rows:
    """A probe's rows as a metric sees them.

    Attributes:
        all: every row, in order.
        good: those that were measured.
        counted: those of `good` that count for the metric and slice at hand, also where they give it no value.
        missing: rows with errors.
        failed: the same, those of a control as well.
        excluded: rows of cases that the probe does not apply to.
        part: the slice at hand; '' for all rows.

    Of a metric with a control, `missing` and `excluded` leave out the rows that are known to be the control's.
    """

    all: pd.DataFrame
    good: pd.DataFrame
    counted: pd.DataFrame
    missing: int
    excluded: int = 0
    part: str = ""
    failed: int = 0

    @classmethod
    def read(cls, rows: pd.DataFrame) -> Rows:
        """Of all rows of a probe."""
        good, gone = rows[rows["status"] == "ok"], int((rows["status"] == "excluded").sum())
        bad = len(rows) - len(good) - gone
        return cls(rows, good, good, bad, gone, failed=bad)

    def of_status(self, status: str) -> pd.DataFrame:
        """Rows that have no result, with this status, in order."""
        if not (self.excluded if status == "excluded" else self.failed):
            return self.all[:0]
        return self.all[self.all["status"] == status]

    def without(self, control: ControlRows | None) -> Rows:
        """Whose missing and excluded rows are those of the metric itself."""
        if control is None:
            return self
        failed, gone = (int(_surely(self.of_status(status), control.rows).sum()) for status in ("error", "excluded"))
        return replace(self, missing=self.missing - failed, excluded=self.excluded - gone)

    def no_control(self, control: ControlRows) -> Control | None:
        """A control of which no case has a result, with the commonest reason; None where it has no failed case."""
        failed = self.of_status("error")
        failed = failed[_surely(failed, control.rows)]
        if failed.empty:
            return None
        note = f"none of its {len(failed)} cases has a result: {_commonest(failed) or 'no reason is given'}"
        return Control(what=control.what, value=None, n=0, note=note)

    def with_failed(self, found: Control, control: ControlRows) -> Control:
        """The same, which says how many of its cases have no result."""
        failed = int(_surely(self.of_status("error"), control.rows).sum())
        note = "; ".join(filter(None, (found.note, f"{failed} of its cases have no result" if failed else "")))
        return found.model_copy(update={"note": note})


Note = str | Callable[[Rows], str]
NO_CONTROL = "no case of its control has a result; missing counts failed cases of a control, too"
"""Said where none of a control is left and rows failed that do not tell whose they were, as older audits' do not."""


@dataclass(frozen=True, slots=True)
class ControlRows:
    """Rows on which the same formula should find nothing, none of which counts for the metric itself.

    Attributes:
        rows: truth values: which rows are the control's.
        what: what these are, in few words, printed beside the score.
        clusters: of these rows, as a metric's own, which they may not share.
    """

    rows: Column
    what: str
    clusters: Column | None = None


@dataclass(frozen=True, slots=True)
class Named:
    """What is said of a metric before there are rows; also makes its Metric, so that none of this is said twice.

    Attributes:
        key: last part of `suite/probe/metric`.
        better: which direction is better.
        unit: of the value: 'rate', 'nats', ...
        target: the ideal value where better is TARGET.
        bounds: the least and the most it can be; no gate may have a rule that none of these breaks.
        headline: shown in summaries; slices never are.
        note: a caution printed beside it, or how to make it from the rows that count.
        slice: the fixed subset it is about; `slices` of a sum are made from rows.
        per_token: counted per token, so that checkpoints with different tokenizers are not compared by it.
        is_share: a share of independent cases with Clopper and Pearson's interval: a plan can say what n decides.
        sliced_only: has no value over all rows.
    """

    key: str
    better: Better
    unit: str = field(default="", kw_only=True)
    target: float | None = field(default=None, kw_only=True)
    bounds: Bounds | None = field(default=None, kw_only=True)
    headline: bool = field(default=True, kw_only=True)
    note: Note = field(default="", kw_only=True)
    slice: str = field(default="", kw_only=True)
    per_token: bool = field(default=False, kw_only=True)
    is_share: bool = field(default=False, kw_only=True)
    sliced_only: bool = field(default=False, kw_only=True)

    @property
    def named(self) -> tuple[Named, ...]:
        """Itself: what a declaration declares."""
        return (self,)

    @property
    def ends(self) -> Bounds | None:
        """`bounds`, where both are known; a rate's are 0 and 1."""
        bounds = self.bounds or (UNIT if self.unit == "rate" else None)
        return bounds if bounds is not None and all(map(math.isfinite, bounds)) else None

    def none(self, why: str, **fields: Any) -> Metric:
        """The metric without a value. `fields` are further ones of Metric."""
        fields = self._fields(fields)
        gone = missing_metric(self.key, why, better=self.better, missing=fields.pop("missing", 0), unit=self.unit)
        return gone.model_copy(update={**fields, "note": why})

    def share(self, hits: int, n: int, **fields: Any) -> Metric:
        """Hits / n with Clopper and Pearson's interval, n > 0."""
        return share(self.key, hits, n, better=self.better, **self._fields(fields))

    def estimate(self, values: RowValues, **fields: Any) -> Metric:
        """sum(above) / sum(below), with its interval over rows or clusters of rows."""
        return estimate(self.key, values, better=self.better, **{"unit": self.unit, **self._fields(fields)})

    def value(self, value: float, interval: Interval | None, n: int, **fields: Any) -> Metric:
        """A value with its interval, or with none."""
        fields = {"unit": self.unit, **self._fields(fields)}
        if interval is None:
            return Metric(key=self.key, value=value, n=n, better=self.better, **fields)
        return with_interval(self.key, value, interval, n, better=self.better, **fields)

    def _fields(self, given: Mapping[str, Any]) -> dict[str, Any]:
        part = given.get("slice", self.slice)
        said = {"target": self.target, "headline": self.headline and not part, "slice": part}
        return {**said, **({"note": self.note} if isinstance(self.note, str) else {}), **given}

    def _note(self, rows: Rows) -> str:
        return self.note if isinstance(self.note, str) else self.note(rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sum(Named):
    """A metric that is sum(above) / sum(below) over the rows that count.

    Attributes:
        about: truth values; where no row is of it the metric is left out.
        over: truth values: which rows count; all but those of `control` by default.
        empty: why there is no value where no row counts; the note by default.
        clusters: column whose equal values are rows that are not independent, or makes it of the counted rows, None
            where they are.
        finish: what is done to the quotient, elementwise and increasing, e.g. np.exp.
        slices: subsets it is measured on as well.
        control: rows of a control, measured by slice, too; only within `about`, whatever `over` says.
    """

    about: Column | None = None
    over: Column | None = None
    empty: str = ""
    clusters: Column | None = None
    finish: Callable[[FloatArray], FloatArray] | None = None
    slices: By | None = None
    control: ControlRows | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that values are made of, besides case_id and status."""
        found: list[str] = [] if self.slices is None else [*self.slices.columns]
        against = None if self.control is None else self.control.rows
        for column in (*self._made_of, self.about, self.over, self.clusters, against):
            found += [] if column is None else [column] if isinstance(column, str) else column.columns
        return tuple(dict.fromkeys(found))

    @property
    def _made_of(self) -> tuple[Column, ...]:
        raise NotImplementedError

    @property
    def _bounds(self) -> Bounds:
        """Within which a row's quotient lies."""
        return self.bounds or (UNIT if self.unit == "rate" else ANY)

    def _pair(self, rows: pd.DataFrame) -> tuple[FloatArray, FloatArray | None]:
        """Above and below of every row, [n] each; below None: 1."""
        above, *below = (_floats(_read(rows, column)) for column in self._made_of)
        return above, below[0] if below else None

    def measure(self, rows: Rows) -> Iterator[Metric]:
        """Over all rows, then each slice; nothing where no row is what it is about."""
        mine = rows.good if self.about is None else rows.good[_mask(rows.good, self.about)]
        if mine.empty:
            return
        if not self.sliced_only:
            yield self._measured(rows, mine, self.slice, int(self._failed(rows).sum()))
        if self.slices is not None:
            yield from self._sliced(rows, mine, self.slices)

    def _sliced(self, rows: Rows, mine: pd.DataFrame, by: By) -> Iterator[Metric]:
        """Each slice with its own missing and excluded cases, as far as these say what they are of."""
        failed, gone = rows.of_status("error"), rows.of_status("excluded")
        failed = failed[self._failed(rows)]
        if self.control is not None:
            gone = gone[~_surely(gone, self.control.rows)]
        told = [name for name in by.columns if name in failed and failed[name].notna().any()]
        for part in by.parts(pd.concat([mine[list(by.columns)], failed[told]]) if told else mine):
            inside, missing = by.mask(mine, part), int(by.mask(failed, part).sum())
            if inside.any():
                found = self._measured(rows, mine[inside], part, missing)
            else:
                found = self.none("no case of it has a result", missing=missing, slice=part)
            excluded = int(by.mask(gone, part).sum())
            yield found.model_copy(update={"excluded": excluded}) if excluded else found

    def _measured(self, rows: Rows, mine: pd.DataFrame, part: str, missing: int) -> Metric:
        """The metric of a slice, with its control where it has one that has rows, or had before all failed."""
        found = self._of(rows, mine[self._counts(mine)], part, missing)
        against = None if self.control is None else mine[_mask(mine, self.control.rows)]
        if self.control is None or against is None:
            return found
        if against.empty:
            if part == self.slice and (gone := rows.no_control(self.control)) is not None:
                return found.model_copy(update={"control": gone})
            said = "; ".join(filter(None, (found.note, NO_CONTROL)))
            unknown = missing and not _known(rows.of_status("error"), self.control.rows).all()
            return found.model_copy(update={"note": said}) if unknown else found
        same = replace(self, clusters=self.control.clusters)
        control = same._of(rows, against, part, 0).as_control(self.control.what)
        if part == self.slice:
            control = rows.with_failed(control, self.control)
        return found.model_copy(update={"control": control})

    def _failed(self, rows: Rows) -> Mask:
        """Which failed rows are missing: not those known not to count, of a control, a side or a kind of model."""
        failed = rows.of_status("error")
        others = np.zeros(len(failed), dtype=np.bool_) if self.control is None else _surely(failed, self.control.rows)
        for column in (self.about, self.over):
            if column is not None:
                others |= _known(failed, column) & ~_surely(failed, column)
        return np.asarray(~others, dtype=np.bool_)

    def _counts(self, rows: pd.DataFrame) -> Mask:
        """Which of the rows it is about count, those of its control never; [n]."""
        counted = np.ones(len(rows), dtype=np.bool_) if self.over is None else _mask(rows, self.over)
        return counted if self.control is None else counted & ~_mask(rows, self.control.rows)

    def _of(self, rows: Rows, mine: pd.DataFrame, part: str, missing: int) -> Metric:
        """Of these rows alone."""
        view = replace(rows, counted=mine, part=part)
        above, below = self._pair(mine)
        defined = ~np.isnan(above) if below is None else ~(np.isnan(above) | np.isnan(below))
        fields: dict[str, Any] = {"missing": missing + int((~defined).sum()), "slice": part}
        if not defined.any():
            return self.none(self.empty or self._note(view) or "no row counts", **fields)
        clusters = self._clusters(mine)
        if not defined.all():
            above, below = above[defined], None if below is None else below[defined]
            clusters = None if clusters is None else clusters[defined]
        fields["note"] = self._note(view)
        return self._estimated(RowValues(above, below, clusters, self.finish, self._bounds), **fields)

    def _estimated(self, values: RowValues, **fields: Any) -> Metric:
        return self.estimate(values, **fields)

    def row_values(self, rows: pd.DataFrame, part: str) -> RowValues | None:
        """What each row adds; None for a slice that it does not have."""
        if part != self.slice and self.slices is None:
            return None
        ok = (rows["status"] == "ok").to_numpy()
        good = rows[ok]
        counted = np.ones(len(good), dtype=np.bool_)
        counted &= self._counts(good) & (True if self.about is None else _mask(good, self.about))
        if part != self.slice:
            assert self.slices is not None
            counted &= self.slices.mask(good, part)
        above, below = self._pair(good)
        weights = np.ones(len(good)) if below is None else below
        every = self.about is None and self.over is None and self.control is None
        is_mean = below is None and every and part == self.slice
        return RowValues(
            _spread(np.where(counted, above, 0.0), ok),
            None if is_mean else _spread(np.where(counted, weights, 0.0), ok, 0.0),
            self._spread_clusters(rows, good[counted], np.flatnonzero(ok)[counted]),
            self.finish,
            self._bounds,
        )

    def _clusters(self, counted: pd.DataFrame) -> NDArray[Any] | None:
        if self.clusters is None:
            return None
        found = _read(counted, self.clusters)
        return None if found is None else np.asarray(found)

    def _spread_clusters(
        self, rows: pd.DataFrame, counted: pd.DataFrame, places: NDArray[np.int64]
    ) -> NDArray[Any] | None:
        """Clusters of all rows. A row that does not count is one of its own: in the other audit it may count."""
        mine = self._clusters(counted)
        if mine is None:
            return None
        known = rows[self.clusters if isinstance(self.clusters, str) else "case_id"].astype(object)
        out: NDArray[Any] = np.array(known.where(known.notna(), rows["case_id"]), dtype=object)
        out[places] = mine
        return out


@dataclass(frozen=True, slots=True)
class MeanOf(_Sum):
    """The mean of a column."""

    column: Column

    @property
    def _made_of(self) -> tuple[Column, ...]:
        return (self.column,)


@dataclass(frozen=True, slots=True)
class RatioOf(_Sum):
    """The sum of one column over the sum of another: a mean per unit, over all units of all rows."""

    above: Column
    below: Column

    @property
    def _made_of(self) -> tuple[Column, ...]:
        return (self.above, self.below)


@dataclass(frozen=True, slots=True)
class ShareOf(_Sum):
    """The share of rows of which `hits` is true; where clusters hold one row each, with Clopper-Pearson's interval."""

    hits: Column

    def __post_init__(self) -> None:
        object.__setattr__(self, "unit", "rate")
        object.__setattr__(self, "is_share", self.clusters is None)

    @property
    def _made_of(self) -> tuple[Column, ...]:
        return (self.hits,)

    def _estimated(self, values: RowValues, **fields: Any) -> Metric:
        hits = np.asarray(values.above)
        if values.clusters is None or len(pd.unique(np.asarray(values.clusters))) == len(hits):
            return self.share(int(hits.sum()), len(hits), **fields)
        return self.estimate(values, **fields)


Make = Callable[[Rows, Mapping[str, Named]], Iterable[Metric]]
"""Makes metrics of rows, at least one of which is usable; gets what was declared of each, by key."""
Values = Callable[[pd.DataFrame, str, str], "RowValues | None"]
"""What each row adds to a metric (last part of its key) of a slice, in the order of rows, errors as NaN."""


@dataclass(frozen=True, slots=True)
class Computed:
    """Metrics that a function makes, one or some together.

    Attributes:
        named: what it makes.
        make: how; counts `Rows.missing` where it concerns the metric.
        values: what each row adds, for those that are sums over rows; None: none is.
        columns: what `values` reads besides case_id and status.
        about: truth values; where no row is of it none is made.
        control: rows that `make` holds the metric against, or leaves out; failed ones are not missing of it.
    """

    named: tuple[Named, ...]
    make: Make
    values: Values | None = None
    columns: tuple[str, ...] = ()
    about: Column | None = None
    control: ControlRows | None = None

    def measure(self, rows: Rows) -> Iterable[Metric]:
        """What the function makes."""
        if self.about is not None and not _mask(rows.good, self.about).any():
            return ()
        return self.make(rows, {each.key: each for each in self.named})


Declared = MeanOf | RatioOf | ShareOf | Computed
"""A metric of `Probe.metrics`, or some of one computation."""


def measure_declared(declared: Sequence[Declared], rows: pd.DataFrame, why_nothing: str) -> list[Metric]:
    """Every declared metric: first over all rows, in the order declared, then by slice.

    `why_nothing` says why there is no value where no row is usable.
    """
    read = Rows.read(rows)
    found: list[Metric] = []
    for each in declared:
        mine = read.without(each.control)
        made = each.measure(mine) if not read.good.empty else _empty(each, mine, why_nothing)
        found += [_with_excluded(metric, mine.excluded) for metric in made]
    if read.good.empty:  # what several declarations share is said once, by the first
        firsts = {metric.key: at for at, metric in reversed(list(enumerate(found)))}
        found = [found[at] for at in sorted(firsts.values())]
    fixed = {each.slice for one in declared for each in one.named}
    first = [metric for metric in found if metric.slice in fixed]
    parts = dict.fromkeys(metric.slice for metric in found if metric.slice not in fixed)
    return first + [metric for part in parts for metric in found if metric.slice == part]


def _empty(declared: Declared, rows: Rows, why_nothing: str) -> Iterator[Metric]:
    """Metrics of rows none of which is usable, each without a value."""
    why = why_nothing if rows.missing or not rows.excluded else _inapplicable(rows.of_status("excluded"))
    against = None if declared.control is None else rows.no_control(declared.control)
    for named in declared.named:
        if not named.sliced_only and not named.slice:
            yield named.none(why, missing=rows.missing, control=against)


def declared_values(declared: Sequence[Declared], rows: pd.DataFrame, metric: str, part: str) -> RowValues | None:
    """What each row adds to a metric of a slice; None where it is no such sum."""
    mine = [each for each in declared if any(named.key == metric for named in each.named)]
    fixed = [each for each in mine if any((named.key, named.slice) == (metric, part) for named in each.named)]
    for each in fixed or mine:
        if isinstance(each, Computed):
            found = None if each.values is None else each.values(rows, metric, part)
        else:
            found = each.row_values(rows, part)
        if found is not None:
            return found
    return None


def declared_columns(declared: Sequence[Declared], metrics: Iterable[str]) -> tuple[str, ...]:
    """Columns that `declared_values` reads for these metrics, besides case_id and status."""
    wanted = set(metrics)
    mine = [each for each in declared if any(named.key in wanted for named in each.named)]
    return tuple(dict.fromkeys(column for each in mine for column in each.columns))


def named_metrics(declared: Iterable[Declared]) -> dict[str, Named]:
    """What is declared of each metric, by key; of one with fixed slices what is said first."""
    found: dict[str, Named] = {}
    for each in declared:
        for named in each.named:
            found.setdefault(named.key, named)
    return found


def _inapplicable(rows: pd.DataFrame) -> str:
    """That every case is excluded, with the commonest reason."""
    reason = _commonest(rows)
    return f"no case applies: {reason}" if reason else "no case applies"


def _commonest(rows: pd.DataFrame) -> str:
    """The reason that most of the rows give for having no result; '' where none gives one."""
    reasons = rows["error"].dropna() if "error" in rows else pd.Series(dtype="str")
    return str(reasons.mode().iloc[0]) if len(reasons) else ""


def _with_excluded(metric: Metric, excluded: int) -> Metric:
    return metric if metric.slice or not excluded else metric.model_copy(update={"excluded": excluded})


def _read(rows: pd.DataFrame, column: Column) -> Any:
    return rows[column] if isinstance(column, str) else column.by(*(rows[name] for name in column.columns))


def _floats(values: ArrayLike | pd.Series[Any]) -> FloatArray:
    if isinstance(values, pd.Series):
        return values.to_numpy(dtype=np.float64, na_value=np.nan)
    return np.asarray(values, dtype=np.float64)


def _mask(rows: pd.DataFrame, column: Column) -> Mask:
    found = _read(rows, column)
    if isinstance(found, pd.Series):
        return found.to_numpy(dtype=np.bool_, na_value=False)
    return np.asarray(found, dtype=np.bool_)


def _known(rows: pd.DataFrame, column: Column) -> Mask:
    """Which rows, also without a result, hold all that the column is made of, [n]."""
    names = [column] if isinstance(column, str) else list(column.columns)
    if not all(name in rows for name in names):
        return np.zeros(len(rows), dtype=np.bool_)
    return rows[names].notna().all(axis=1).to_numpy(dtype=np.bool_)


def _surely(rows: pd.DataFrame, column: Column) -> Mask:
    """Which rows, also without a result, are known to be those of the column, [n]."""
    found = np.array(_known(rows, column))
    found[found] = _mask(rows[found], column)
    return found


def _spread(values: FloatArray, ok: Mask, rest: float = np.nan) -> FloatArray:
    """Values of usable rows among all rows."""
    out = np.full(len(ok), rest)
    out[ok] = values
    return out
