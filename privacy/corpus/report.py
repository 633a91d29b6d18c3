"""What `assay data` tells of a file, every number with what it was counted over."""

from __future__ import annotations

from pydantic import Field

from harness.base.frozen import Frozen
from privacy.corpus.personal import KindCount


class LengthsReport(Frozen):
    """Lengths of the records."""

    unit: str
    total: int
    quantiles: dict[str, int] = Field(description="of the records: least, median, 90 and 99 of 100, most")


class LabelReport(Frozen):
    """A label and its records."""

    label: str
    records: int


class SameReport(Frozen):
    """Records that are there more than once."""

    rule: str
    extra: int = Field(description="records that would go if one of each stayed")
    groups: int = Field(description="texts that are there twice or more")
    largest: int = Field(description="records of the most frequent one")
    characters: int = Field(description="of the records that would go")
    buckets: dict[str, int] = Field(description="records by how often their text is there")


class NearReport(Frozen):
    """Records that are nearly the same as another one, beyond those above."""

    rule: str
    threshold: float
    judged: int
    too_short: int
    clusters: int
    extra: int
    largest: int
    compared: int = Field(description="pairs whose exact index was computed")


class OverlapReport(Frozen):
    """An evaluation set beside the training texts."""

    source: str
    words: int
    records: int
    judged: int = Field(description="records with so many words")
    touched: int = Field(description="records with a run in common")
    mostly: int = Field(description="records with 0.7 of their runs in common")
    equal: int = Field(description="records whose whole text is a training record")
    runs: int
    shared: int
    training: int = Field(description="training records with a run in common")


class Counted(Frozen):
    """How often a string occurs."""

    string: int = Field(description="number of the string in the command, from 1")
    characters: int
    occurrences: int
    documents: int


class Example(Frozen):
    """Text of a record, or a value; only when it was asked for."""

    section: str
    record: int | None = Field(description="its number in the file, from 1")
    text: str


class DataReport(Frozen):
    """All of it."""

    version: int = 1
    file: str
    records: int
    empty: int = Field(description="records without a visible character")
    columns: list[str] = Field(description="those read as text")
    other_columns: list[str] = Field(default=[], description="those not looked into, in the order they first come")
    digest: str = Field(description="SHA-256 over the texts of all records, in order")
    lengths: list[LengthsReport]
    labels: list[LabelReport] | None = Field(description="None without a column of labels")
    other_labels: int = Field(description="records with a label that is not listed")
    identical: SameReport
    same: SameReport
    near: NearReport | str = Field(description="a sentence where it was not looked for")
    personal: list[KindCount]
    languages: list[str]
    overlap: list[OverlapReport]
    index: str | None = Field(description="digest of the index that was built")
    counted: list[Counted]
    examples: list[Example]
