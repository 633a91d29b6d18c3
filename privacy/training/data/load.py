"""Training records: loaded, checked for what training needs, and kept apart from the held-out ones."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd
import pandera.pandas as pa
from pandera.typing import Series

from harness.checkpoint import CheckpointInfo
from harness.data.datasets import Dataset, DataSource, frame_digest, load_dataset, without_other_labels
from harness.data.labels import check_names, shown
from harness.data.schemas import Instructions, LabelledTexts, PairedTexts, Texts
from harness.errors import DataError, UsageError
from privacy.training.data.completions import with_columns
from privacy.training.data.labels import fixed_classes, found_labels, known_classes, public_names
from privacy.training.settings.spec import TrainSpec

_UNIT = "privacy_unit"


@dataclass(frozen=True, slots=True)
class Planted:
    """What canaries add to the records."""

    listed: Dataset
    """The records without them, as their source has them."""
    labels: tuple[int, ...]
    """Class of each planted record, classification only."""
    count: int
    """Planted records."""


@dataclass(frozen=True)
class TrainingData:
    """Members are trained on; non-members are of the same kind and are only named in the manifest."""

    members: Dataset
    non_members: Dataset | None
    label_names: tuple[str, ...]
    """Class names by index; empty unless the task is classification."""
    units: tuple[str, ...] | None
    """Whose record each member is; None where every record is a privacy unit of its own."""
    units_as_written: tuple[str, ...] | None = None
    """The same before spellings of one id were made one."""
    fixed_labels: bool = False
    """Whether each label is read by itself, whatever the other records have."""
    dropped: int = 0
    """Members left out because their label is none of the classes."""
    planted: Planted | None = None
    """Canaries among the members, behind all others."""
    corpus_source: DataSource | None = None
    """Other texts for the tokenizer of a fresh model; None: it learns from the members."""

    @cached_property
    def corpus(self) -> list[str]:
        """What the tokenizer of a fresh model learns from; read when it is first asked for, and kept."""
        if self.corpus_source is None:
            frame = self.listed.frame  # what a canary says must be learnt by training, not by the tokenizer
            return [str(text) for name in ("text", "pair") if name in frame.columns for text in frame[name]]
        return [str(text) for text in load_dataset(self.corpus_source, Texts).frame["text"]]

    @property
    def listed(self) -> Dataset:
        """Members as their source has them: without canaries."""
        return self.members if self.planted is None else self.planted.listed

    @property
    def texts(self) -> list[str]:
        """Text of each member."""
        return [str(text) for text in self.members.frame["text"]]

    @property
    def pairs(self) -> list[str] | None:
        """Second text of each member; None where the records are single texts."""
        frame = self.members.frame
        return [str(text) for text in frame["pair"]] if "pair" in frame.columns else None

    @property
    def labels(self) -> list[int]:
        """Class index of each member; classification only."""
        listed, planted = self.listed, [] if self.planted is None else list(self.planted.labels)
        if self.fixed_labels:
            return fixed_classes(listed, self.label_names) + planted
        return listed.labels.classes(self.label_names) + planted


def load_training_data(spec: TrainSpec, base: CheckpointInfo | None = None) -> TrainingData:
    """Members and held-out records; under privacy with the class names of the spec or the base, never of the records.

    `base`: as inspected; where it is left out and its class names are needed it is inspected here. Raises DataError: no
    rows, one class only, an unknown label, or held-out records that are trained on; UsageError where nothing public
    names the classes.
    """
    if spec.privacy is not None and spec.task == "classification":
        return _private_classification(spec, public_names(spec, base))
    spec = _with_columns(spec)
    schema = _schema(spec)
    members, written = _load_members(spec, schema)
    non_members = None if spec.held_out is None else load_dataset(spec.held_out, schema)
    names = _label_names(spec, members) if spec.task == "classification" else ()
    if non_members is not None:
        _check_disjoint(members, non_members)
        if names:
            non_members.labels.classes(names)
    data = TrainingData(
        members,
        non_members,
        names,
        _unit_ids(written),
        written,
        corpus_source=spec.fresh.corpus if spec.fresh else None,
    )
    if names:
        _check_classes(data)
    return data


def _schema(spec: TrainSpec) -> type[Texts]:
    if spec.task == "classification":
        return LabelledTexts
    if spec.completions != "none":
        return Instructions
    return PairedTexts if spec.next_sentence else Texts


def _with_columns(spec: TrainSpec) -> TrainSpec:
    """`spec`, whose prompts and completions are read under these names."""
    if spec.completions == "none":
        return spec
    held_out = spec.held_out and with_columns(spec.held_out)
    return spec.model_copy(update={"data": with_columns(spec.data), "held_out": held_out})


def _private_classification(spec: TrainSpec, names: tuple[str, ...]) -> TrainingData:
    """Each record's label is read by itself: else one record could move the classes of all."""
    assert spec.privacy is not None
    check_names(names, "label_names")
    members, written = _load_members(spec, LabelledTexts)
    non_members = None if spec.held_out is None else load_dataset(spec.held_out, LabelledTexts)
    before = len(members)
    if spec.privacy.other_labels == "drop":
        kept = [known is not None for known in known_classes(members, names)]
        if written is not None:
            written = tuple(unit for unit, keep in zip(written, kept, strict=True) if keep)
        members = without_other_labels(members, names)
        non_members = non_members and without_other_labels(non_members, names)
        if not len(members):
            raise DataError(f"{spec.data.source}: no record has the label of a class ({shown(names)}); add a label_map")
    if non_members is not None:
        _check_disjoint(members, non_members)
        fixed_classes(non_members, names)
    data = TrainingData(
        members,
        non_members,
        names,
        _unit_ids(written),
        written,
        fixed_labels=True,
        dropped=before - len(members),
        corpus_source=spec.fresh.corpus if spec.fresh else None,
    )
    _check_classes(data)
    return data


def _load_members(spec: TrainSpec, schema: type[pa.DataFrameModel]) -> tuple[Dataset, tuple[str, ...] | None]:
    """Members, and whose they are, as written there.

    The unit's column is left out of the members, whose digest audits compare.
    """
    if spec.privacy is None or spec.privacy.unit is None:
        return _loaded(spec, spec.data, schema), None
    taken = {spec.data.columns.get(name, name) for name in schema.to_schema().columns}
    if spec.privacy.unit in taken:
        raise UsageError(
            f"privacy.unit: {spec.privacy.unit!r} is a column that is trained on; name one that says whose records "
            "they are, or leave unit out"
        )
    column = {_UNIT: spec.privacy.unit}
    source = spec.data.model_copy(update={"columns": {**spec.data.columns, **column}})
    with_units = type(f"Owned{schema.__name__}", (schema,), {"__annotations__": {_UNIT: Series[Any]}})
    try:
        owned = _loaded(spec, source, with_units)
    except DataError as error:  # in the words of the spec
        said = str(error).replace(f"column {_UNIT!r}", f"column {spec.privacy.unit!r}")
        raise DataError(said.replace(f"for {_UNIT!r}", "for privacy.unit")) from error
    frame = owned.frame.drop(columns=_UNIT)
    return Dataset(frame, spec.data, frame_digest(frame), owned.seen), tuple(map(str, owned.frame[_UNIT]))


def _loaded(spec: TrainSpec, source: DataSource, schema: type[pa.DataFrameModel]) -> Dataset:
    try:
        return load_dataset(source, schema)
    except DataError as error:
        said = str(error)
        if spec.task == "causal_lm" and "missing column 'text'" in said and "'completion'" in said:
            raise DataError(f"{said}; or read prompts and completions by completions: plain (or chat)") from error
        raise


def _unit_ids(written: tuple[str, ...] | None) -> tuple[str, ...] | None:
    from privacy.lineage.records import unit_id  # its room imports torch, which reading a spec does without

    return None if written is None else tuple(map(unit_id, written))


def _label_names(spec: TrainSpec, members: Dataset) -> tuple[str, ...]:
    return spec.label_names or found_labels(members.frame["label"], members.source.label_map)


def _check_classes(data: TrainingData) -> None:
    present = sorted(set(data.labels))
    if len(present) < 2:
        raise DataError(
            f"{data.members.source.source}: every record has the label {data.label_names[present[0]]!r}; "
            "a classifier needs two classes, widen or shuffle the slice"
        )


def _check_disjoint(members: Dataset, non_members: Dataset) -> None:
    """A held-out record that was trained on would make every membership audit understate the leak."""
    shared = _records(non_members.frame) & _records(members.frame)
    if shared:
        raise DataError(
            f"{non_members.source.source}: {len(shared)} held-out records are also trained on; "
            "take another slice, and set distinct: text on both where the data repeat themselves"
        )


def _records(frame: pd.DataFrame) -> set[tuple[str, str]]:
    pairs = frame["pair"] if "pair" in frame.columns else [""] * len(frame)
    return {(str(text), str(pair)) for text, pair in zip(frame["text"], pairs, strict=True)}
