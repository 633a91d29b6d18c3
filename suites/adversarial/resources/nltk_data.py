"""WordNet laid out as nltk wants it, in a folder of Assay's cache that is put first in nltk's search path.

nltk 3.10 refuses to read outside the folders of its search path, so files that lie elsewhere are copied there once.
"""

from __future__ import annotations

import gzip
import importlib
import io
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import IO, Any, cast

from harness.base.files import make_folder
from harness.data.pypi import cache_home
from harness.errors import UsageError
from suites.adversarial.resources.finding import Found

_SETS = {"adj": 3, "adv": 4, "noun": 1, "verb": 2}
_LEXICOGRAPHERS = (
    ("adj", "all pert"),
    ("adv", "all"),
    (
        "noun",
        "Tops act animal artifact attribute body cognition communication event feeling food group location motive "
        "object person phenomenon plant possession process quantity relation shape state substance time",
    ),
    (
        "verb",
        "body change cognition communication competition consumption contact creation emotion motion perception "
        "possession social stative weather",
    ),
    ("adj", "ppl"),
)
"""Names of WordNet's 45 lexicographer files by number (lexnames(5WN)), which Debian's package leaves out."""
_WORDNET_FILES = (
    *(f"{part}.{pos}" for part in ("data", "index") for pos in _SETS),
    *(f"{pos}.exc" for pos in _SETS),
    "index.sense",
    "cntlist.rev",
    "lexnames",
)


def wordnet_reader(found: Found) -> Any:
    """A `WordNetCorpusReader` of nltk on a found WordNet; `.synsets("good")` and the rest work, English only.

    Where files lack, lexnames is written out and the others (exceptions, sense index, counts) are empty: without
    exceptions irregular forms ("went") have no lemma; without the others only look-ups by sense key fail.
    """
    folder = _prepared(found)
    _search_first(folder)
    reader = importlib.import_module("nltk.corpus.reader.wordnet").WordNetCorpusReader
    try:
        return reader(str(folder / "corpora" / "wordnet"), _NoOtherLanguages())
    except (ValueError, KeyError, IndexError, AssertionError, LookupError) as error:
        raise UsageError(f"{found.path}: nltk cannot read this WordNet ({error}); get another copy") from error


class _NoOtherLanguages:
    """Stands in for the multilingual reader that nltk's warns about when there is none."""

    def fileids(self) -> list[str]:
        return []


def _search_first(folder: Path) -> None:
    """First in nltk's search path from now on: readers open their files late."""
    path = importlib.import_module("nltk.data").path
    if str(folder) in path:
        path.remove(str(folder))
    path.insert(0, str(folder))


def _prepared(found: Found) -> Path:
    """An nltk_data folder for this very WordNet, laid out once; complete or absent."""
    home = make_folder(cache_home() / "nltk")
    folder = home / f"{found.name}-{found.digest[:16]}"
    if folder.is_dir():
        return folder
    with tempfile.TemporaryDirectory(dir=home) as scratch:
        root = Path(scratch) / "root"
        target = root / "corpora" / "wordnet"
        target.mkdir(parents=True)
        _lay_wordnet(found.path, target)
        try:
            root.rename(folder)
        except OSError:  # another process was first
            if not folder.is_dir():
                raise
    return folder


def _lay_wordnet(source: Path, target: Path) -> None:
    for name in _WORDNET_FILES:
        with (target / name).open("wb") as out:
            content = _content(source, name)
            if content is None:
                out.write(_lexnames().encode() if name == "lexnames" else b"")
                continue
            with content:
                shutil.copyfileobj(content, out)


def _content(source: Path, name: str) -> IO[bytes] | None:
    """A file of a WordNet folder, plain or gzip, or of nltk's zip archive; None where it lacks."""
    if source.is_file():
        try:
            with zipfile.ZipFile(source) as archive:
                inner = f"wordnet/{name}"
                return io.BytesIO(archive.read(inner)) if inner in archive.namelist() else None
        except zipfile.BadZipFile as error:
            raise UsageError(f"{source}: is neither a WordNet folder nor nltk's wordnet.zip ({error})") from error
    plain, packed = source / name, source / f"{name}.gz"
    if plain.is_file():
        return plain.open("rb")
    return cast(IO[bytes], gzip.open(packed, "rb")) if packed.is_file() else None


def _lexnames() -> str:
    names = [(pos, f"{pos}.{name}") for pos, group in _LEXICOGRAPHERS for name in group.split()]
    return "".join(f"{number:02d}\t{name}\t{_SETS[pos]}\n" for number, (pos, name) in enumerate(names))
