"""Collects what pages, reports and probes say, and brings every language's catalogues up to date: `make catalogues`.

A message that is new stands there with an empty translation, one that is gone is left out; both are for a translator to
look at. Files name no lines, so that a catalogue changes only where a text does.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_file
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from harness.api.columns import meanings
from harness.api.declared import Computed
from harness.api.metrics import PROVEN
from harness.api.probe import Probe
from harness.api.registry import find_probes
from harness.base.language import CATALOGUES, ENGLISH, LANGUAGES, PAGES, PROBES

ROOT = Path(__file__).parents[2]
ROOMS = ("harness", "privacy", "suites", "dashboards")
_METHODS = {".py": "python", ".html": "jinja2"}
_SAYS = re.compile(r"\b(?:_|marked)\(")
_KEYWORDS = {"_": None, "marked": None}
_WIDTH = 120
_NO_DAY = datetime(2000, 1, 1, tzinfo=UTC)
_IDLE = (
    b'"Project-Id-Version',
    b'"Report-Msgid-Bugs-To',
    b'"POT-Creation-Date',
    b'"PO-Revision-Date',
    b'"Last-Translator',
    b'"Language-Team',
    b'"Generated-By',
)


@cache
def collected(name: str) -> Catalog:
    """What the code says today, of one catalogue, without translations."""
    found = Catalog(domain=name, fuzzy=False)
    for where, text in _of_probes() if name == PROBES else _of_code():
        found.add(text, locations=[(where, None)])  # type: ignore[list-item]  # no line: babel takes None for that
    return found


def po_path(name: str, language: str) -> Path:
    """Where a translator works."""
    return CATALOGUES / language / "LC_MESSAGES" / f"{name}.po"


def read(name: str, language: str) -> Catalog:
    """The catalogue of a language as it is on disk."""
    with po_path(name, language).open("rb") as file:
        return read_po(file, locale=language, domain=name)


def compiled(catalogue: Catalog) -> bytes:
    """What gettext reads; the same bytes for the same texts."""
    catalogue.project, catalogue.version, catalogue.creation_date = "Assay", "-", _NO_DAY
    catalogue.revision_date = _NO_DAY
    out = io.BytesIO()
    write_mo(out, catalogue)
    return out.getvalue()


def update(name: str, language: str) -> int:
    """Bring a catalogue up to date on disk and compile it; how many texts have no translation."""
    path = po_path(name, language)
    path.parent.mkdir(parents=True, exist_ok=True)
    catalogue = read(name, language) if path.exists() else Catalog(language, domain=name, fuzzy=False)
    catalogue.update(collected(name), no_fuzzy_matching=True, update_creation_date=False)
    path.write_bytes(_written(catalogue))
    path.with_suffix(".mo").write_bytes(compiled(catalogue))
    return sum(not message.string for message in catalogue if message.id)


def _written(catalogue: Catalog) -> bytes:
    """The catalogue as a file, its head without the lines that say nothing or another thing every day."""
    out = io.BytesIO()
    write_po(out, catalogue, width=_WIDTH, ignore_obsolete=True, include_lineno=False)
    lines = out.getvalue().splitlines(keepends=True)
    return b"".join(line for line in lines if not line.startswith(_IDLE))


def _of_code() -> Iterator[tuple[str, str]]:
    for path in (path for room in ROOMS for path in sorted((ROOT / room).rglob("*"))):
        method = _METHODS.get(path.suffix)
        if method is None or _SAYS.search(path.read_text(encoding="utf-8")) is None:
            continue  # most files say nothing, and to take them apart takes a minute
        where = path.relative_to(ROOT).as_posix()
        for _line, text, _comments, _context in extract_from_file(method, path, keywords=_KEYWORDS):
            assert isinstance(text, str), f"{where}: plural forms are not used"
            yield where, text


def _of_probes() -> Iterator[tuple[str, str]]:
    """What Assay's own probes say of themselves, by the class that says it; others bring no catalogue."""
    yield "harness.api.metrics", PROVEN
    own = (each for each in find_probes().probes.values() if each.__module__.startswith("suites."))
    for probe in sorted(own, key=lambda each: each.name):
        for text in dict.fromkeys(_said(probe)):
            yield probe.__module__, text


def _said(probe: type[Probe]) -> Iterator[str]:  # type: ignore[type-arg]
    yield probe.about.summary
    yield probe.about.cannot_tell
    yield probe.nothing
    for metric in probe.metrics:
        for named in metric.named if isinstance(metric, Computed) else (metric,):
            yield from (text for text in (named.unit, named.note) if isinstance(text, str) and text)
        if not isinstance(metric, Computed) and metric.control is not None:
            yield metric.control.what
    yield from meanings(probe.Row).values()


def main() -> int:
    """All catalogues of all languages; says what is left to translate."""
    for language in LANGUAGES:
        for name in (PAGES, PROBES) if language != ENGLISH else ():
            missing = update(name, language)
            sys.stdout.write(f"{po_path(name, language).relative_to(ROOT)}: {missing} texts without a translation\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
