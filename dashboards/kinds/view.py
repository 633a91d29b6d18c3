"""The contract of a view: one picture of a probe's rows, chosen by what the probe declares, never by its name."""

from __future__ import annotations

import hmac
import secrets
from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pandas as pd

from dashboards.audits import Audit
from dashboards.rows import Rows
from dashboards.view_models.views import mask
from harness.api.metrics import Better, Metric
from harness.api.probe import Probe
from harness.base.language import _, language


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the rows. `type` as in the exported schema: double, int64, bool, string, list<double> ..."""

    name: str
    type: str
    unit: str = ""
    meaning: str = ""


@dataclass(frozen=True, slots=True)
class Measure:
    """A metric that a probe declares or that was measured of it.

    Attributes:
        key: last part of `suite/probe/metric`.
        unit: of its value.
        better: which direction is better.
        target: the ideal value where better is TARGET.
        by: columns whose values are its slices; none where a function of the probe's own makes them.
        clusters: column whose equal values are related rows, such as a template; '' where none is declared.
        sliced: whether this audit has slices of it.
        adds: whether it is a sum over rows, so that `Probe.row_values` says what each row adds.
    """

    key: str
    unit: str
    better: Better
    target: float | None = field(default=None, kw_only=True)
    by: tuple[str, ...] = ()
    clusters: str = ""
    sliced: bool = False
    adds: bool = False


@dataclass(frozen=True, slots=True)
class Declaration:
    """What a probe says of its rows and metrics.

    Attributes:
        probe: its name, `suite/probe`.
        columns: those that the rows of this audit have, by name; unit and meaning are '' where its plug-in is away.
        measures: its metrics, in the order declared.
        installed: the probe under the params of this audit; None where its plug-in is away or of another version.
    """

    probe: str
    columns: Mapping[str, Column]
    measures: tuple[Measure, ...] = ()
    installed: Probe[Any] | None = None

    def has(self, name: str, *types: str) -> bool:
        """Whether there is a column of this name and, where `types` are given, one of these types."""
        column = self.columns.get(name)
        return column is not None and (not types or column.type in types)

    def measure(self, key: str) -> Measure | None:
        """The metric of this name, or None."""
        return next((each for each in self.measures if each.key == key), None)


@dataclass(frozen=True, slots=True)
class Shown:
    """What a view draws from.

    Attributes:
        audit: the audit, with its manifest and metrics.
        declared: what the probe declares.
        rows: its rows, asked by DuckDB; read few columns, not whole rows.
        readable: whether somebody asked to see texts; a view shows none otherwise (`masked`, `names`).
        address: the query of the page's address. What a view remembers there (a chosen cell) a link restores; keys
            begin with the view's name.
        key: changes when the rows do: what a view keeps between two runs of the page is kept under it.
        secret: key of the digests that stand in addresses for values; of the folder of audits, so that links last.
    """

    audit: Audit
    declared: Declaration
    rows: Rows
    readable: bool
    address: MutableMapping[str, str]
    key: Hashable
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)

    @property
    def probe(self) -> str:
        """The probe's name."""
        return self.declared.probe

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """All metrics of the probe, slices too."""
        return tuple(metric for metric in self.audit.metrics if metric.key.startswith(f"{self.probe}/"))

    @property
    def language(self) -> str:
        """Code of the language the page speaks: texts of a view go through `_("…")` of `harness.base.language`."""
        return language()

    @property
    def hidden(self) -> tuple[str, ...]:
        """Columns whose texts may not be shown now."""
        return () if self.readable else self.rows.private()

    def masked(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Rows as they may be shown now: hidden texts are replaced by their length."""
        return mask(frame, [column for column in self.hidden if column in frame])

    def digest(self, value: Any) -> str:
        """Name of a value in an address: no text stands there."""
        return digest(value, self.secret)

    def names(self, column: str, values: pd.Series[Any]) -> pd.Series[str]:
        """Values of a column as labels of a chart: where its texts are hidden, numbers stand for them."""
        if column not in self.hidden:
            return values.map(lambda value: _("none") if value is None or value == "" else str(value))
        order = {value: place for place, value in enumerate(dict.fromkeys(values), start=1)}
        return values.map(lambda value: f"{column} {order[value]}")


def digest(value: Any, secret: bytes) -> str:
    """HMAC-SHA256 of a value as text, its first 48 bits: without the key nobody can try which text it is."""
    return hmac.new(secret, str(value).encode(errors="surrogatepass"), "sha256").hexdigest()[:12]


class View(ABC):
    """A picture of a probe's rows. Registered under `assay.views`; made once, without arguments, and keeps no state."""

    name: ClassVar[str]
    """In addresses: lower case, no blanks."""
    place: ClassVar[int] = 50
    """Views that fit stand by this, then by name; the first is shown at first."""

    @property
    @abstractmethod
    def title(self) -> str:
        """What readers choose it by, two words or so, in the language spoken now."""

    @abstractmethod
    def fits(self, declared: Declaration) -> bool:
        """Whether it can draw what this probe declares."""

    @abstractmethod
    def draw(self, shown: Shown) -> None:
        """Draw it with Streamlit; what it computes is a pure function beside it, from rows or metrics alone.

        An AssayError it raises is shown as a sentence, anything else as a failure of this view.
        """
