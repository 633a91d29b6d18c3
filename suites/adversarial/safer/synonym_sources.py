"""Where synonyms come from: a user's file of groups, or word vectors; read once per process, and named for the rows."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from suites.adversarial.resources.finding import Found, digest, find
from suites.adversarial.resources.vectors import read_vectors
from suites.adversarial.safer.synonym_sets import GroupSynonyms, SynonymSets, VectorSynonyms

_SHAPE = 'give a line per group of synonyms, or JSON: {"word": ["synonym", ...]} or [["word", "synonym"], ...]'


@dataclass(frozen=True, slots=True)
class SynonymSettings:
    """How sets are made. The last three matter for vectors alone."""

    set_size: int
    similarity: float
    components: int
    vocabulary: int


@dataclass(frozen=True, slots=True)
class SynonymTable:
    """The sets and their description: what a certificate is relative to."""

    sets: SynonymSets
    described: str


def group_table(path: str, settings: SynonymSettings) -> SynonymTable:
    """From a file of groups: text (words between blanks or commas, `#` starts a comment) or JSON. Raises UsageError."""
    file = Path(path).expanduser()
    if not file.is_file():
        raise UsageError(f"synonyms: {path} is no file; {_SHAPE}")
    return _group_table(file, digest(file), settings)


def vector_table(found: Found, settings: SynonymSettings) -> SynonymTable:
    """From word vectors. Raises UsageError."""
    return _vector_table(found, settings)


def find_vectors(path: str | None) -> Found:
    """The user's vectors, else the resource `word-vectors`. Raises ResourceMissing, UsageError."""
    return find("word-vectors", path)


@functools.lru_cache(maxsize=2)
def _group_table(file: Path, sha256: str, settings: SynonymSettings) -> SynonymTable:
    try:
        sets = GroupSynonyms(_groups(file), settings.set_size)
    except UsageError as error:
        raise UsageError(f"synonyms: {file}: {error}") from error
    except (UnicodeDecodeError, OSError) as error:
        raise UsageError(f"synonyms: {file}: is no UTF-8 text ({error}); {_SHAPE}") from error
    left_out = f", {sets.left_out} others cannot be used" if sets.left_out else ""
    described = f"file {file.name}, sha256 {sha256[:8]}; {len(sets)} words{left_out}, sets of at most {sets.set_size}"
    return SynonymTable(sets, described)


@functools.lru_cache(maxsize=2)
def _vector_table(found: Found, settings: SynonymSettings) -> SynonymTable:
    sets = VectorSynonyms(
        read_vectors(found.path),
        similarity=settings.similarity,
        set_size=settings.set_size,
        components=settings.components,
        vocabulary=settings.vocabulary,
    )
    described = (
        f"{found.described}; {len(sets)} words, cosine >= {settings.similarity:g} after all-but-the-top "
        f"({settings.components}), sets of at most {settings.set_size}"
    )
    return SynonymTable(sets, described)


def _groups(file: Path) -> Iterator[Sequence[str]]:
    """Groups of synonyms. Raises UsageError that says which is wrong."""
    text = file.read_text(encoding="utf-8-sig")
    if file.suffix == ".json":
        yield from _json_groups(text)
        return
    for number, line in enumerate(text.splitlines(), 1):
        words = [word for word in re.split(r"[\s,]+", line.partition("#")[0]) if word]
        if len(words) == 1:
            raise UsageError(f"line {number}: has one word, {words[0]!r}; a group needs two or more")
        if words:
            yield words


def _json_groups(text: str) -> Iterator[Sequence[str]]:
    try:
        given = json.loads(text)
    except json.JSONDecodeError as error:
        raise UsageError(f"is no JSON ({error}); {_SHAPE}") from error
    if isinstance(given, dict) and all(_is_words(words) for words in given.values()):
        # a word's synonyms need not be synonyms of each other
        yield from ([word, other] for word, words in given.items() for other in words)
    elif isinstance(given, list) and all(_is_words(words) for words in given):
        yield from given
    else:
        raise UsageError(f"holds neither lists of words nor words with lists; {_SHAPE}")


def _is_words(given: Any) -> bool:
    return isinstance(given, list) and all(isinstance(word, str) for word in given)
