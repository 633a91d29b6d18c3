"""Behavioural tests as a table of templates, filled with words from lists.

A template has slots, {thing}, each filled with a word of the list of that name; {thing_2} takes another word of the
same list. A row's `changed` template takes the same words; the slots it has alone take any others. Rows that share a
test and a template are changes of the same text.
"""

from __future__ import annotations

import csv
import math
import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Literal

import pandas as pd
import pandera.pandas as pa
from pandera.typing import Series

from harness.data.datasets import Dataset
from harness.errors import WrongDataError

Kind = Literal["MFT", "INV", "DIR"]
BASE_TEXT = "TEXT"
"""The kind of a row whose texts are no test: the changes of texts are applied to them."""
Words = Mapping[str, Sequence[str]]
"""Words by the name of their list."""
_SLOT = re.compile(r"\{(\w+)\}")


class ChecklistTests(pa.DataFrameModel):
    """A table of tests, one template per row.

    expect is a class or 'not <class>' (MFT), '<class> up' or '<class> down' (DIR), empty (INV), the class of the text
    or empty (TEXT). changed is a template for INV and DIR and empty for the others.
    """

    kind: Series[str] = pa.Field(isin=["MFT", "INV", "DIR", BASE_TEXT])
    capability: Series[str] = pa.Field(coerce=True)
    test: Series[str] = pa.Field(coerce=True)
    expect: Series[str] = pa.Field(coerce=True)
    template: Series[str] = pa.Field(coerce=True)
    changed: Series[str] = pa.Field(coerce=True)


@dataclass(frozen=True, slots=True)
class Template:
    """One template of a test with the ways to change it."""

    kind: str
    capability: str
    test: str
    expect: str
    text: str
    changed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Filled:
    """A text made of a template, and its changed versions."""

    text: str
    changed: tuple[str, ...]


@cache
def built_in_words() -> dict[str, tuple[str, ...]]:
    """The lists that come with Assay."""
    found: dict[str, list[str]] = {}
    for row in _rows("checklist_words.csv"):
        found.setdefault(row["list"], []).append(row["word"])
    return {name: tuple(words) for name, words in found.items()}


def built_in_tests() -> list[Template]:
    """The tests that come with Assay: opinions on films, books, hotels ... that are positive or negative."""
    return _grouped(_rows("checklist_tests.csv"))


def read_tests(dataset: Dataset, words: Words) -> list[Template]:
    """The templates of a user's table. Raises DataError naming the row that cannot be used."""
    frame: pd.DataFrame = dataset.frame
    rows = [{str(name): str(value).strip() for name, value in row.items()} for row in frame.to_dict("records")]
    for number, row in enumerate(rows, start=1):
        why = _why_bad(row, words)
        if why is not None:
            raise WrongDataError(f"{dataset.source.source}: row {number} of those used {why}")
    return _grouped(rows)


def fill(template: Template, words: Words, most: int, versions: int, seed: int) -> list[Filled]:
    """At most `most` different fillings, each with at most `versions` fillings of each of its changed templates.

    The same template and seed give the same texts whatever the test, so that tests share them.
    """
    slots = _slots(template.text)
    rng = random.Random(f"{seed}:{template.text}")
    found = []
    for chosen in _draw(slots, {}, words, rng, most):
        text = _put(template.text, chosen)
        changed: dict[str, None] = {}
        for other in template.changed:
            own = random.Random(f"{seed}:{other}:{text}")
            more = [slot for slot in _slots(other) if slot not in chosen]
            changed |= dict.fromkeys(
                _put(other, {**chosen, **extra}) for extra in _draw(more, chosen, words, own, versions)
            )
        found.append(Filled(text, tuple(version for version in changed if version != text)))
    return found


def _draw(
    slots: Sequence[str], taken: Mapping[str, str], words: Words, rng: random.Random, most: int
) -> Iterator[dict[str, str]]:
    """Different ways to fill `slots` besides those already `taken`, no word twice from one list, in random order."""
    used = {(_list_of(slot), word) for slot, word in taken.items()}
    pools = {name: [w for w in words[name] if (name, w) not in used] for name in dict.fromkeys(map(_list_of, slots))}
    sizes = []
    left = {name: len(pool) for name, pool in pools.items()}
    for slot in slots:
        sizes.append(max(0, left[_list_of(slot)]))
        left[_list_of(slot)] -= 1
    ways = math.prod(sizes)
    for number in rng.sample(range(ways), min(most, ways)):
        rest = {name: list(pool) for name, pool in pools.items()}
        chosen = {}
        for slot, size in zip(slots, sizes, strict=True):
            number, at = divmod(number, size)
            chosen[slot] = rest[_list_of(slot)].pop(at)
        yield chosen


def _slots(template: str) -> list[str]:
    return list(dict.fromkeys(_SLOT.findall(template)))


def _list_of(slot: str) -> str:
    return re.sub(r"_\d+$", "", slot)


def _put(template: str, chosen: Mapping[str, str]) -> str:
    return _SLOT.sub(lambda match: chosen[match[1]], template)


def _grouped(rows: Iterable[Mapping[str, str]]) -> list[Template]:
    """Rows of the same test and template as one."""
    found: dict[Template, list[str]] = {}
    for row in rows:
        key = Template(row["kind"], row["capability"], row["test"], row["expect"], row["template"])
        found.setdefault(key, []).extend([row["changed"]] if row["changed"] else [])
    return [replace(key, changed=tuple(dict.fromkeys(changed))) for key, changed in found.items()]


def _why_bad(row: Mapping[str, str], words: Words) -> str | None:
    """What is wrong with a row, to follow 'row 3'; None where nothing is."""
    needs_change = row["kind"] in ("INV", "DIR")
    if not row["template"]:
        return "has no template; write one or leave the row out"
    if needs_change and not row["changed"]:
        return f"is a test of kind {row['kind']} without a changed template; fill in 'changed'"
    if not needs_change and row["changed"]:
        return f"has a changed template, which only INV and DIR have; empty 'changed' or correct the kind {row['kind']}"
    if row["kind"] != BASE_TEXT and not (row["test"] and row["capability"]):
        return "has no name or no capability; fill in 'test' and 'capability'"
    for template in filter(None, (row["template"], row["changed"])):
        if "{" in _SLOT.sub("", template) or "}" in _SLOT.sub("", template):
            return f"has a brace that belongs to no slot in {template!r}; a slot is {{name}}"
        slots = [_list_of(slot) for slot in _slots(template)]
        for name in slots:
            if name not in words:
                return f"has the slot {{{name}}}, but no list is called {name!r}; give params: words: {{{name}: [...]}}"
            if slots.count(name) > len(words[name]):
                return f"takes {slots.count(name)} different words of the list {name!r}, which has {len(words[name])}"
    return None


@cache
def _rows(name: str) -> tuple[dict[str, str], ...]:
    text = files("suites.adversarial").joinpath("data", name).read_text(encoding="utf-8")
    return tuple(csv.DictReader(text.splitlines()))
