"""Reads a file once, batch by batch, and counts everything that `assay data` reports."""

from __future__ import annotations

import hashlib
import secrets
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.errors import UsageError
from harness.provenance.keys import own_keys
from privacy.corpus.index import Index, build_index
from privacy.corpus.near import BANDS, MISSING, ROWS, SHINGLE, Near, NearDuplicates, available
from privacy.corpus.overlap import RUN, Against, Overlap
from privacy.corpus.personal import Personal
from privacy.corpus.report import (
    Counted,
    DataReport,
    Example,
    LabelReport,
    LengthsReport,
    NearReport,
    OverlapReport,
    SameReport,
)
from privacy.corpus.same import Groups, Lengths, Same, plain
from privacy.corpus.words import words_of
from privacy.scrub.columns import LABEL, column_names, records, text_columns
from privacy.scrub.recognise import finder_for

MISSING_LABEL = "(missing)"
_LABELS = 50
"""Labels that are listed."""
_MOST_LABELS = 100_000
"""Different labels that are counted: more are no labels."""
_AT_ONCE = 2**20
"""Characters that are made words at once: as Python objects those take twenty times as much memory."""
_EXAMPLE = 200
"""Characters of a record that are shown."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked of a file."""

    columns: tuple[str, ...] = ()
    label: str = LABEL
    languages: tuple[str, ...] = ("en", "zh")
    names: str = "auto"
    against: tuple[Path, ...] = ()
    words: int = RUN
    threshold: float = 0.8
    """Jaccard index from which two records are nearly the same."""
    keys: Path | None = None
    """Folder of the key of the hashes; None: one that is thrown away."""
    index: Path | None = None
    count: tuple[str, ...] = ()
    show: int = 0
    """Examples of each kind, with their text."""


def examine(path: Path, wanted: Wanted) -> DataReport:
    """The report on a file. Raises UsageError where it, an evaluation set or a setting is wrong."""
    columns = text_columns(path, wanted.columns)
    if wanted.words < 1:
        raise UsageError(f"--words {wanted.words}: must be at least 1")
    if wanted.count and wanted.index is None:
        raise UsageError("--count: counts in an index; say where it goes with --index FOLDER")
    index = _index(path, columns, wanted.index) if wanted.index else None  # first: what is wrong with it is heard now
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="assay-data-")))
        reading = _Reading(wanted, scratch)
        for texts, batch in records(path, columns, (wanted.label,)):
            reading.add(texts, batch.columns.get(wanted.label))
            reading.names = batch.names
        if reading.labelled and reading.unlabelled:
            reading.labels[MISSING_LABEL] += reading.unlabelled
        identical, same = reading.identical.groups(), reading.same.groups()
        near = reading.near.clusters(same.first) if reading.near else None
    overlaps = [against.result() for against in reading.against]
    return DataReport(
        file=path.name,
        records=reading.count,
        empty=reading.empty,
        columns=list(columns),
        other_columns=[name for name in reading.names if name not in (*columns, wanted.label)],
        digest=reading.digest.hexdigest(),
        lengths=[_lengths("characters", reading.characters.all()), _lengths("words", reading.words.all())],
        labels=_labels(reading.labels) if reading.labelled else None,
        other_labels=sum(count for _, count in reading.labels.most_common()[_LABELS:]) + reading.unlisted,
        identical=_same("byte for byte", identical, reading.characters.all()),
        same=_same("but for case, white space and ways of writing a character", same, reading.characters.all()),
        near=_near(near, len(same.first), wanted.threshold) if near else MISSING,
        personal=reading.personal.counts(),
        languages=list(wanted.languages),
        overlap=[_overlap(source, found, wanted.words) for source, found in zip(wanted.against, overlaps, strict=True)],
        index=index.digest if index else None,
        counted=_counted(index, wanted.count) if index else [],
        examples=_examples(path, columns, wanted, reading, same, near, overlaps) if wanted.show else [],
    )


class _Reading:
    """Everything that is counted while the file is read."""

    def __init__(self, wanted: Wanted, scratch: Path) -> None:
        key = own_keys(wanted.keys).own_key if wanted.keys else secrets.token_bytes(32)
        self.count, self.empty, self.unlisted = 0, 0, 0
        self.names: tuple[str, ...] = ()
        """All columns seen so far."""
        self.labelled, self.unlabelled = False, 0
        self.digest = hashlib.sha256()
        self.characters, self.words = Lengths(), Lengths()
        self.labels: Counter[str] = Counter()
        self.identical, self.same = Same(key), Same(key)
        self.near = NearDuplicates(scratch, wanted.threshold) if available() else None
        finder = finder_for(wanted.languages, wanted.names)
        self.personal = Personal(finder, key, kept=wanted.keys is not None, show=wanted.show)
        self.against = [Against(_texts(each, wanted), wanted.words) for each in wanted.against]

    def add(self, texts: Sequence[str], labels: Sequence[str | None] | None) -> None:
        """A batch of records, a few at a time where they are long."""
        start, size = 0, 0
        for end, text in enumerate(texts, 1):
            size += len(text)
            if size >= _AT_ONCE or end == len(texts):
                self._some(texts[start:end])
                start, size = end, 0
        if labels is None:
            self.unlabelled += len(texts)  # no record had one so far; a later one may
        else:
            self.labelled = True
            self._label(labels)

    def _some(self, texts: Sequence[str]) -> None:
        self.count += len(texts)
        self.empty += sum(not text.strip() for text in texts)
        for text in texts:
            self.digest.update(text.encode(errors="surrogatepass") + b"\0")
        normal = [plain(text) for text in texts]
        self.identical.add(texts)
        self.same.add(normal)
        words = words_of(texts)
        self.characters.add([len(text) for text in texts])
        self.words.add(words.counts.tolist())
        if self.near:
            self.near.add(words)
        self.personal.add(texts)
        for against in self.against:
            against.add(words, normal)

    def _label(self, labels: Sequence[str | None]) -> None:
        for label in labels:
            if label in self.labels or len(self.labels) < _MOST_LABELS:
                self.labels[MISSING_LABEL if label is None else label] += 1
            else:
                self.unlisted += 1


def _texts(path: Path, wanted: Wanted) -> Iterator[list[str]]:
    columns = text_columns(path, [name for name in wanted.columns if name in column_names(path)])
    return (texts for texts, _ in records(path, columns))


def _lengths(unit: str, values: NDArray[np.uint32]) -> LengthsReport:
    shares = {"least": 0.0, "median": 0.5, "90 %": 0.9, "99 %": 0.99, "most": 1.0}
    found = np.quantile(values, list(shares.values()), method="inverted_cdf") if len(values) else np.zeros(len(shares))
    return LengthsReport(
        unit=unit, total=int(values.sum(dtype=np.int64)), quantiles=dict(zip(shares, map(int, found), strict=True))
    )


def _labels(counts: Counter[str]) -> list[LabelReport]:
    return [LabelReport(label=label, records=count) for label, count in counts.most_common(_LABELS)]


def _same(rule: str, groups: Groups, characters: NDArray[np.uint32]) -> SameReport:
    return SameReport(
        rule=rule,
        extra=groups.extra,
        groups=groups.repeated,
        largest=groups.largest,
        characters=int(characters.sum(dtype=np.int64) - characters[groups.first].sum(dtype=np.int64)),
        buckets=groups.buckets(),
    )


def _near(near: Near, different: int, threshold: float) -> NearReport:
    rule = (
        f"at least {threshold:g} of the runs of {SHINGLE} words in common (Jaccard); candidates by MinHash, {BANDS} "
        f"bands of {ROWS}"
    )
    return NearReport(
        rule=rule,
        threshold=threshold,
        judged=near.judged,
        too_short=different - near.judged,
        clusters=len(near.clusters),
        extra=near.extra,
        largest=len(near.clusters[0]) if near.clusters else 0,
        compared=near.pairs,
    )


def _overlap(source: Path, found: Overlap, words: int) -> OverlapReport:
    return OverlapReport(
        source=source.name,
        words=words,
        records=found.records,
        judged=found.judged,
        touched=len(found.touched),
        mostly=found.mostly,
        equal=found.equal,
        runs=found.runs,
        shared=found.shared,
        training=found.training,
    )


def _index(path: Path, columns: Sequence[str], folder: Path) -> Index:
    return build_index((text for texts, _ in records(path, columns) for text in texts), folder)


def _counted(index: Index, strings: Sequence[str]) -> list[Counted]:
    found = zip(strings, index.counts(strings), strict=True)
    return [
        Counted(string=number, characters=len(text), occurrences=count.occurrences, documents=count.documents)
        for number, (text, count) in enumerate(found, 1)
    ]


def _examples(
    path: Path,
    columns: Sequence[str],
    wanted: Wanted,
    reading: _Reading,
    same: Groups,
    near: Near | None,
    overlaps: Sequence[Overlap],
) -> list[Example]:
    """Texts of records that the report counts, read again by their numbers."""
    often = np.argsort(-same.sizes, kind="stable")[: wanted.show]
    rows = {"same": [int(same.first[group]) for group in often if same.sizes[group] > 1]}
    rows["near"] = [row for cluster in (near.clusters if near else [])[: wanted.show] for row in cluster[:2]]
    found = _shown("same", path, columns, rows["same"]) + _shown("near", path, columns, rows["near"])
    for kind, values in reading.personal.shown.items():
        found += [Example(section=kind, record=None, text=value[:_EXAMPLE]) for value in values]
    for source, overlap in zip(wanted.against, overlaps, strict=True):
        there = text_columns(source, [name for name in wanted.columns if name in column_names(source)])
        found += _shown(f"in {source.name}", source, there, overlap.touched[: wanted.show])
    return found


def _shown(section: str, path: Path, columns: Sequence[str], rows: Sequence[int]) -> list[Example]:
    left, found = set(rows), dict[int, str]()
    for texts, batch in records(path, columns) if rows else ():
        for row in sorted(left & set(range(batch.first, batch.first + batch.rows))):
            found[row] = texts[row - batch.first][:_EXAMPLE]
            left.discard(row)
        if not left:
            break
    return [Example(section=section, record=row + 1, text=found[row]) for row in rows]
