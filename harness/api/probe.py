"""The plug-in contract: what a probe says and does. Discovery lives in `harness.api.registry`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar, cast

import pandas as pd
import pandera.pandas as pa
from pandera.typing import Series
from pydantic import ValidationError

from harness.api.columns import case_columns, column
from harness.api.declared import (
    Declared,
    Named,
    declared_columns,
    declared_values,
    measure_declared,
    named_metrics,
)
from harness.api.models import ModelRole, Models
from harness.api.needs import Need, lacking
from harness.api.prepared import Kept, Unkept
from harness.base.frozen import Frozen

if TYPE_CHECKING:
    from harness.api.case import Case
    from harness.api.checkpoint import CheckpointInfo, CheckpointSource
    from harness.api.curves import CurvePlot
    from harness.api.metrics import Bounds, Metric, RowValues
    from harness.api.scorer import Scorer
    from harness.data.datasets import Dataset, DataSource

RowDict = dict[str, Any]


@dataclass(frozen=True, slots=True)
class About:
    """What a probe measures; all of it is printed in every report."""

    summary: str
    paper: str
    cannot_tell: str


class ProbeParams(Frozen):
    """Validated settings of a probe; defaults come from the paper."""


class ProbeRow(pa.DataFrameModel):
    """Columns every probe's rows share. Only rows with status 'ok' have measured columns.

    'error' counts as missing, 'excluded' (the probe does not apply to the case) nowhere; `error` says why of both.
    Columns `of_case` are the exception: they stand in every row.
    """

    case_id: Series[str] = column("digest of the case's content", unique=True)
    status: Series[str] = column(
        "ok, error (no result, counts as missing) or excluded (the probe does not apply to the case)",
        isin=["ok", "error", "excluded"],
    )
    error: Series[str] = column("why the case has no result, or is excluded", nullable=True)

    @classmethod
    def contradictions(cls, rows: pd.DataFrame) -> Mapping[str, pd.Series[bool]]:
        """What cannot be true of a row with status ok, and of which it would be; asked of rows that no audit made."""
        return {}

    class Config:
        """Unknown columns are refused; kinds are converted where that loses nothing."""

        strict = True
        coerce = True


P = TypeVar("P", bound=ProbeParams)


@dataclass(frozen=True, slots=True)
class Input:
    """A dataset a probe reads: its schema, what it is for, and where it comes from unless the spec says otherwise."""

    schema: type[pa.DataFrameModel]
    what: str
    default: DataSource | None = None
    required: bool = True


@dataclass(frozen=True, slots=True)
class Plan:
    """What `cases` may know: the checkpoint (not loaded), the seed, and the datasets by input name.

    In `prepare`, also the cases that are planned.
    """

    checkpoint: CheckpointInfo
    seed: int
    data: Mapping[str, Dataset] = field(default_factory=dict)
    cases: Sequence[Case] = ()


class Probe(ABC, Generic[P]):
    """One measurement. Subclasses set the class variables and implement `cases` and `run`.

    An instance holds its `params` and, in an audit, the `others` it asks and what it has `kept`; it keeps no state
    between calls, so any process can run any case.
    """

    name: ClassVar[str]
    version: ClassVar[str] = "1"
    about: ClassVar[About]
    needs: ClassVar[tuple[frozenset[Need], ...]]
    inputs: ClassVar[Mapping[str, Input]] = {}
    models: ClassVar[Mapping[str, ModelRole]] = {}
    """Other models it asks, by role; in `run` they are `self.others`."""
    pool: ClassVar[int | None] = None
    """Cases handed to one call of `run`, for one that gives rows while it works; None: as many as take the time that a
    crash may lose (`harness.executors.pace`)."""
    compared_over: ClassVar[tuple[str, ...]] = ()
    """Params that an audit and its baseline may differ in: those that a comparison is made to tell the effect of."""
    metrics: ClassVar[tuple[Declared, ...]] = ()
    """What it measures, each metric declared once, as with default params. Keys are the last part of
    `suite/probe/metric`."""
    nothing: ClassVar[str] = "no case could be measured"
    """Why a metric has no value where no row is usable."""
    Params: ClassVar[type[ProbeParams]] = ProbeParams
    Row: ClassVar[type[ProbeRow]]

    def __init__(self, params: P | None = None) -> None:
        self.params: P = params if params is not None else cast(P, self.Params())
        self.others: Mapping[str, Scorer] = {}
        """Scorers of the other models, by role; those that the spec or a default names. Filled in by the audit."""
        self.kept: Kept = Unkept()
        """What `prepare` made, on disk in an audit; outside one nothing is kept, and every call makes it again."""

    def within(self, models: Models, kept: Kept | None = None) -> Self:
        """The same probe among these models and with this store, as an audit runs it."""
        bound = copy(self)
        bound.others, bound.kept = models, kept or self.kept
        return bound

    def prepare(self, models: Models, plan: Plan) -> None:
        """Work out what all cases need, by `self.kept.value`: before any case, once, resumed after a crash.

        `run` asks `self.kept` for it by the same name. It may depend on params, models and data alone. Raises
        NotApplicableError where the models turn out unfit.
        """

    @abstractmethod
    def cases(self, plan: Plan) -> list[Case]:
        """The work. Ids depend on content only.

        Raises DataError where the data do not fit the checkpoint, NotApplicableError where it fits no data at all.
        """

    @abstractmethod
    def run(self, scorer: Scorer, cases: Sequence[Case]) -> Iterable[RowDict]:
        """One row per case, in any order, matching `Row`; batches across cases."""

    def of_case(self, case: Case) -> RowDict:
        """Columns declared `of_case`, which the machine puts into every row; by name from the case's data."""
        return {name: case.data[name] for name in case_columns(self.Row) if name in case.data}

    def roles(self) -> Mapping[str, ModelRole]:
        """`models` under these params; override where they depend on them."""
        return self.models

    def default_models(self) -> Mapping[str, CheckpointSource]:
        """Source of each role the spec leaves out; override where it is to be looked for. Raises NoDataError."""
        return {role: given.default for role, given in self.roles().items() if given.default is not None}

    def declared(self) -> tuple[Declared, ...]:
        """`metrics` under these params; override where they depend on them."""
        return self.metrics

    def measure(self, rows: pd.DataFrame) -> list[Metric]:
        """Metrics from rows alone; pure and deterministic."""
        return measure_declared(self.declared(), rows, self.why_nothing(rows))

    def plots(self, rows: pd.DataFrame) -> Sequence[CurvePlot]:
        """Curves from rows alone, pure as `measure` is; override where a number per rate or size is not enough."""
        return ()

    def why_nothing(self, rows: pd.DataFrame) -> str:
        """Why metrics have no value where none of `rows` is usable."""
        return self.nothing

    def row_values(self, rows: pd.DataFrame, metric: str, part: str) -> RowValues | None:
        """What each row adds to a metric (last part of its key) of a slice, in the order of `rows`, errors as NaN.

        None: the metric is no such sum; then a comparison with a baseline draws cases and calls `measure`, which is
        slower and takes every case for independent. What overrides it overrides `value_columns`, too.
        """
        return declared_values(self.declared(), rows, metric, part)

    def value_columns(self, metrics: Iterable[str]) -> tuple[str, ...]:
        """Columns that `row_values` of these metrics reads, so that a comparison need not read the others."""
        own = declared_columns(self.declared(), metrics)
        return ("case_id", "status", *(name for name in own if name not in ("case_id", "status")))

    def named(self) -> dict[str, Named]:
        """What is known of each metric before there are rows, by the last part of its key."""
        return named_metrics(self.declared())

    def cost(self, cases: Sequence[Case]) -> int:
        """Tokens the model will read, roughly: characters / 4; override where a case is read more than once."""
        return sum(len(value) for case in cases for value in case.data.values() if isinstance(value, str)) // 4

    def model_costs(self, cases: Sequence[Case]) -> Mapping[str, int]:
        """Tokens that each other model will read, by role; override where that is not as many as the checkpoint."""
        return dict.fromkeys(self.roles(), self.cost(cases))

    @classmethod
    def usual(cls) -> tuple[Declared, ...]:
        """`metrics`, else what is declared under default params; none where a param has no default."""
        if cls.metrics or cls.declared is Probe.declared:
            return cls.metrics
        try:
            return cls().declared()
        except ValidationError:
            return ()

    @classmethod
    def bounds_of(cls, metric: str) -> Bounds | None:
        """The least and the most that a metric (last part of its key) can be; None where it has no such ends."""
        named = named_metrics(cls.usual()).get(metric)
        return None if named is None else named.ends

    @classmethod
    def default_data(cls, checkpoint: CheckpointInfo) -> dict[str, DataSource]:
        """Source of each input the spec leaves out; override to read what the checkpoint itself was trained on."""
        return {name: given.default for name, given in cls.inputs.items() if given.default is not None}

    @classmethod
    def why_not(cls, offers: frozenset[Need]) -> str | None:
        """Why the probe does not apply to a checkpoint that offers `offers`; None when it does."""
        return lacking(cls.needs, offers)


def ok_row(case: Case, /, **columns: Any) -> RowDict:
    """A row of a case that was measured; `columns` are the probe's own. A column that is given twice is a TypeError."""
    return {**columns, "case_id": case.id, "status": "ok", "error": None}


def error_row(case: Case, why: str, columns: Iterable[str] = ()) -> RowDict:
    """A row that says why the case gave no result; every other column of the probe is empty."""
    return {**dict.fromkeys(columns), "case_id": case.id, "status": "error", "error": why}


def excluded_row(case: Case, why: str, columns: Iterable[str] = ()) -> RowDict:
    """A row of a case that the probe does not apply to, such as a text without the word that it changes.

    Only for what follows from the case alone (or what the paper leaves out): never for what the model does with it,
    or a model could turn its failures into exclusions.
    """
    return {**dict.fromkeys(columns), "case_id": case.id, "status": "excluded", "error": why}
