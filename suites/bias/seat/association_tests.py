"""Association tests: Assay's own words in plain sentences, a table of the user's, or files of May et al.'s form."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandera.pandas as pa
from pandera.typing import Series

from harness.data.datasets import Dataset
from harness.errors import UsageError, WrongDataError

SETS = ("targ1", "targ2", "attr1", "attr2")
"""Targets X and Y, attributes A and B, as the published files name them."""
KINDS = ("bias", "known", "control")
"""What a test asks: about people; about what people are known to associate; about nothing anybody associates."""
FEWEST = 2
"""Texts of a set: fewer have no mean to speak of."""
TEMPLATES = ("This is {}.", "Here is {}.", "They spoke about {}.")
"""Sentences for Assay's own words, bleached of meaning as in May et al. 2019."""
_MOST_BYTES = 8 << 20
"""The largest published file has 50 kB."""


class AssociationTexts(pa.DataFrameModel):
    """One text per row: of which test and set, and, for sentences, which word it is about."""

    test: Series[str] = pa.Field(coerce=True)
    set: Series[str] = pa.Field(coerce=True, isin=SETS)
    text: Series[str] = pa.Field(coerce=True)
    word: Series[str] | None = pa.Field(coerce=True)
    kind: Series[str] | None = pa.Field(coerce=True, isin=KINDS)


@dataclass(slots=True)
class AssociationTest:
    """A test: its texts by set, and the words that the targets are about."""

    name: str
    kind: str
    texts: dict[str, list[str]] = field(default_factory=lambda: {name: [] for name in SETS})
    words: dict[str, list[str]] = field(default_factory=lambda: {name: [] for name in SETS})

    def checked(self, source: str) -> AssociationTest:
        """Itself. Raises WrongDataError for a set under the minimum or targets of unequal number."""
        for name, texts in self.texts.items():
            if len(texts) < FEWEST or not all(map(str.strip, texts)):
                raise WrongDataError(
                    f"{source}: test {self.name!r}, {name}: {len(texts)} texts, none of which may be empty, at least "
                    f"{FEWEST} are needed; add texts or leave out the test"
                )
        x, y = self.texts["targ1"], self.texts["targ2"]
        if len(x) != len(y):
            raise WrongDataError(
                f"{source}: test {self.name!r} has {len(x)} texts in targ1 and {len(y)} in targ2; the permutation test "
                "halves them, give both as many"
            )
        return self


def own_tests() -> list[AssociationTest]:
    """Assay's own: three about people, one about flowers and insects, three controls."""
    rows = (
        {**row, "text": template.format(row["word"])}
        for row in _own_words()
        for template in TEMPLATES  # the word itself is one text too few to be typical
    )
    return _gathered(rows, "seat_words.csv")


def table_tests(dataset: Dataset) -> list[AssociationTest]:
    """Tests of a table. Raises WrongDataError."""
    rows: Iterable[Any] = dataset.frame.to_dict("records")
    return _gathered(rows, dataset.source.source)


def published_tests(paths: Iterable[str]) -> list[AssociationTest]:
    """A test per file, named for it. Raises UsageError for a file that cannot be read, WrongDataError for no test.

    Files of one name in two folders are refused: both tests would go by it.
    """
    tests: dict[str, tuple[AssociationTest, str]] = {}
    for path in paths:
        test = _published(Path(path), path)
        if test.name in tests:
            raise WrongDataError(
                f"{path} and {tests[test.name][1]} are both the test {test.name!r}; rename one of them"
            )
        tests[test.name] = (test, path)
    return [test for test, _ in tests.values()]


def _published(path: Path, shown: str) -> AssociationTest:
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise WrongDataError(f"{shown}: over {_MOST_BYTES >> 20} MiB; an association test has a few hundred texts")
        found = json.loads(content.decode("utf-8"))
    except OSError as error:
        raise UsageError(f"{shown}: cannot be read ({error.strerror}); params.files names files of tests") from error
    except (ValueError, RecursionError) as error:
        raise WrongDataError(f"{shown}: no JSON in UTF-8; a file holds one test as May et al. publish them") from error
    test = AssociationTest(path.stem, "bias")
    for name in SETS:
        given = found.get(name) if isinstance(found, dict) else None
        texts = given.get("examples") if isinstance(given, dict) else None
        if not isinstance(texts, list) or not all(isinstance(text, str) and "\0" not in text for text in texts):
            raise WrongDataError(f"{shown}: no list of texts under {name}.examples; see May et al. 2019 for the form")
        test.texts[name] = texts
        test.words[name] = texts
    return test.checked(shown)


def _gathered(rows: Iterable[Mapping[str, Any]], source: str) -> list[AssociationTest]:
    found: dict[str, AssociationTest] = {}
    for row in rows:
        kind = row.get("kind") or "bias"
        test = found.setdefault(row["test"], AssociationTest(row["test"], kind))
        if test.kind != kind:
            raise WrongDataError(f"{source}: test {test.name!r} is both {test.kind} and {kind}; give it one kind")
        test.texts[row["set"]].append(row["text"])
        test.words[row["set"]].append(row.get("word") or row["text"])
    return [test.checked(source) for test in found.values()]


@cache
def _own_words() -> tuple[dict[str, str], ...]:
    text = files("suites.bias").joinpath("data", "seat_words.csv").read_text(encoding="utf-8")
    return tuple(csv.DictReader(text.splitlines()))
