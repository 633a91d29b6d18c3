"""`assay scrub`: a data file without its personal data, and what was taken out of it."""

from __future__ import annotations

import hmac
import json
import os
import secrets
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from pydantic import Field

from harness.base.files import make_folder, write_atomic, write_text
from harness.base.frozen import Frozen
from harness.data.columns import TableError
from harness.data.streams import kind_of, stream
from harness.errors import DataError, UsageError
from harness.provenance.keys import own_keys
from privacy.scrub.columns import column_names, text_columns
from privacy.scrub.files import rewrite
from privacy.scrub.recognise import KINDS, Finder, finder_for
from privacy.scrub.replace import Name, Pseudonyms, Replaced, by_kind, scrubbed


@dataclass(frozen=True, slots=True)
class Settings:
    """How a file is scrubbed."""

    columns: tuple[str, ...] = ()
    languages: tuple[str, ...] = ("en", "zh")
    names: str = "auto"
    pseudonyms: bool = False
    keys: Path | None = None
    """Folder of the key of pseudonyms; None: one that is thrown away."""
    mapping: Path | None = None
    """File for the values behind the pseudonyms."""
    replace: bool = False


class KindReplaced(Frozen):
    """What was taken out of one kind."""

    kind: str
    places: int
    values: int = Field(description="different ones")
    how: list[str]


class ScrubReport(Frozen):
    """What was done to a file."""

    version: int = 1
    file: str
    output: str
    records: int
    changed: int = Field(description="texts that differ from what they were")
    columns: list[str]
    languages: list[str]
    names_looked_for: bool
    replaced: list[KindReplaced]
    left: dict[str, dict[str, int]] = Field(
        description="findings in columns that were not scrubbed, by column and kind"
    )
    not_read: list[str] = Field(
        description="columns that hold no text but lists or structures: neither read nor scrubbed"
    )
    mapping: str | None


def scrub(path: Path, output: Path, settings: Settings) -> ScrubReport:
    """Write `path` without personal data to `output`, at once or not at all.

    Raises:
        UsageError: no recogniser for a language, a path that may not be written, a setting that does nothing.
        DataError: the file cannot be read.
    """
    finder = finder_for(settings.languages, settings.names)
    _check_paths(path, output, settings)
    columns = text_columns(path, settings.columns)
    name = _name(settings)
    replaced, changed = Replaced(), 0
    throwaway = secrets.token_bytes(32)

    def seen(kind: str, value: str) -> None:
        replaced.add(kind, hmac.digest(throwaway, value.encode(errors="surrogatepass"), sha256)[:16])

    def change(column: str, text: str) -> str:
        nonlocal changed
        new = scrubbed(text, finder, name, seen)
        changed += new != text
        return new

    records = 0

    def write(scratch: Path) -> None:
        nonlocal records
        records = rewrite(path, scratch, columns, change, packed=output.suffix.lower() == ".gz")
        if settings.mapping is not None and isinstance(name, Pseudonyms):  # before the output: it cannot be had again
            _write_mapping(settings.mapping, name)

    try:
        write_atomic(output, write)
    except BaseException:
        if settings.mapping is not None:
            settings.mapping.unlink(missing_ok=True)
        raise
    left, not_read = _left(path, columns, finder)
    return ScrubReport(
        file=path.name,
        output=output.name,
        records=records,
        changed=changed,
        columns=list(columns),
        languages=list(finder.languages),
        names_looked_for=any(each.kind == "NAME" for each in finder.recognisers),
        replaced=_counts(finder, replaced),
        left=left,
        not_read=not_read,
        mapping=settings.mapping.name if settings.mapping else None,
    )


def read_mapping(path: Path) -> dict[str, str]:
    """Value of each pseudonym. Raises UsageError for a file that is no mapping."""
    from harness.base.regular import read_bounded

    try:
        pairs = [json.loads(line) for line in read_bounded(path, 2**32).decode().splitlines() if line]
        return {str(pair["pseudonym"]): str(pair["value"]) for pair in pairs}
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path}: no mapping that `assay scrub` wrote, or a damaged one; give another") from error


def restored(text: str, mapping: dict[str, str]) -> str:
    """A text with its pseudonyms undone, each by the value it was first given for."""
    from privacy.scrub.recognise import PLACEHOLDER

    return PLACEHOLDER.sub(lambda match: mapping.get(match[0], match[0]), text)


def _name(settings: Settings) -> Name:
    if not settings.pseudonyms:
        return by_kind
    key = own_keys(settings.keys).own_key if settings.keys else secrets.token_bytes(32)
    return Pseudonyms(key, remember=settings.mapping is not None)


def _check_paths(path: Path, output: Path, settings: Settings) -> None:
    """Raises UsageError before anything is read."""
    if not settings.pseudonyms and (settings.mapping or settings.keys):
        given = "--mapping" if settings.mapping else "--keys"
        raise UsageError(f"{given}: placeholders have nothing to map; add --pseudonyms")
    if kind_of(path) != kind_of(output):
        raise UsageError(f"{output}: a {kind_of(path)} stays one; give the output that ending")
    if kind_of(path) == "parquet" and output.suffix.lower() == ".gz":
        raise UsageError(f"{output}: a parquet is packed inside; leave out .gz")
    if output.exists() and path.exists() and path.samefile(output):
        raise UsageError(f"{output}: is the input itself; choose another name")
    if os.path.lexists(output) and not settings.replace:
        raise UsageError(f"{output}: is there already; add --replace to overwrite it")
    make_folder(output.parent, shared=True)
    if settings.mapping is not None:
        folder, beside = settings.mapping.parent.resolve(), output.parent.resolve()
        if folder == beside or beside in folder.parents:
            raise UsageError(f"{settings.mapping}: lies with the output; keep it in a folder elsewhere")
        if os.path.lexists(settings.mapping):
            raise UsageError(f"{settings.mapping}: is there already, and is not overwritten; name a new file")
        make_folder(settings.mapping.parent)


def _write_mapping(path: Path, names: Pseudonyms) -> None:
    pairs = (json.dumps({"pseudonym": name, "value": value}) for name, value in sorted(names.values.items()))
    write_text(path, "".join(f"{pair}\n" for pair in pairs), private=True)


def _counts(finder: Finder, replaced: Replaced) -> list[KindReplaced]:
    how = {kind: [each.how for each in finder.recognisers if each.kind == kind] for kind in KINDS}
    return [
        KindReplaced(
            kind=kind,
            places=replaced.places[kind],
            values=len(replaced.values.get(kind, ())),
            how=list(dict.fromkeys(words)),
        )
        for kind, words in how.items()
        if words
    ]


def _left(path: Path, columns: Sequence[str], finder: Finder) -> tuple[dict[str, dict[str, int]], list[str]]:
    """Findings in the other columns, and those that cannot be read as text: nobody should believe them scrubbed."""
    others = [name for name in column_names(path) if name not in columns]
    counts: dict[str, Counter[str]] = {}
    nested = []
    for name in others:
        try:
            for batch in stream(path, (name,)):
                for text in batch.columns.get(name, ()):
                    counts.setdefault(name, Counter()).update(one.kind for one in finder.find(text or ""))
        except DataError as error:
            if isinstance(error.__cause__, TableError):  # a list or a structure
                nested.append(name)
                continue
            raise
    return {name: dict(found) for name, found in counts.items() if found}, nested
