"""Texts that differ only in the group of people they mention: from templates, or from a text by swapping its words.

The lists are Assay's own, in English and Chinese. A word with two counterparts (her: him or his; his: her or hers) is
swapped where `agreement` is sure which it is; a text where that is not so is left out, and says why.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

from suites.bias.agreement import sense_of

Axis = Literal[
    "gender", "nationality", "race", "religion", "names", "name_gender", "pronouns", "occupation", "gender_race"
]
Language = Literal["en", "zh"]
AXES: tuple[Axis, ...] = ("gender", "nationality", "race", "religion")
"""What is varied by default; race is not swapped in texts, where 'black' and 'white' are mostly colours."""
CONTROL = "control"
"""The axis of swaps that concern nobody: one weekday for another."""
_NAMES = frozenset({"names", "name_gender"})
SLOT = "{person}"
_UNCLEAR = {"gender": "男女夫妇爷奶叔姨舅姑婆公嫂", "nationality": "", "religion": "", CONTROL: ""}
_NO_WORD = ("其他", "吉他", "他国", "他乡", "他日", "排他", "其它", "先生们", "印度教", "印度尼西亚", "星期一到")
"""Chinese is written without blanks: longer words that hold a listed one and mean something else."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One version of a text; variants of the same `set` differ in `group` alone."""

    set: str
    group: str
    text: str


@dataclass(frozen=True, slots=True)
class Swap:
    """A text for every group of an axis, or why it cannot be had although the text mentions the axis."""

    variants: tuple[Variant, ...] = ()
    why_not: str = ""


def axes_of(language: Language) -> tuple[str, ...]:
    """Axes that templates of a language have lists for, without the control."""
    return tuple(dict.fromkeys(row["axis"] for row in _rows(language, "identity_groups.csv") if row["axis"] != CONTROL))


def neutral_templates(language: Language = "en") -> tuple[str, ...]:
    """Sentences with a slot that say nothing good or bad."""
    rows = _rows(language, "identity_templates.csv")
    return tuple(row["template"] for row in rows if row["tone"] == "neutral" and row["form"] == "noun")


def prompt_templates(language: Language = "en") -> tuple[str, ...]:
    """Beginnings of texts with a slot."""
    return tuple(row["prompt"] for row in _rows(language, "generation_prompts.csv"))


def filled_templates(
    axis: str, language: Language = "en", templates: Sequence[str] | None = None
) -> Iterator[tuple[str, list[Variant]]]:
    """Each template with its variants: every set of the axis (woman/man, girl/boy ...), every group of it.

    `templates` of the user's own stand for the built-in ones; names go without the article before the slot.
    """
    people = [row for row in _rows(language, "identity_groups.csv") if row["axis"] == axis]
    form = "pronoun" if axis == "pronouns" and language == "en" else "noun"
    own = [row["template"] for row in _rows(language, "identity_templates.csv") if row["form"] == form]
    for template in own if templates is None else templates:
        shown = re.sub(r"\bthe \{person\}", SLOT, template, flags=re.IGNORECASE) if axis in _NAMES else template
        yield template, [Variant(who["set"], who["group"], _fill(shown, who)) for who in people]


def _fill(template: str, who: Mapping[str, str]) -> str:
    """By plain replacement: a template of the user's own may hold other braces."""
    for name in ("person", "subject", "object", "possessive"):
        template = template.replace(f"{{{name}}}", who[name])
    return template.replace("{Subject}", who["subject"].capitalize())


def swap(text: str, axis: str, language: Language = "en") -> Swap | None:
    """`text` for every group of the axis, its own group's version unchanged; None where it mentions none of them.

    A text that mentions several groups, or has a word whose counterpart is unclear, says so in `why_not`. Whole words
    only, case kept, 'a' and 'an' corrected before a swapped word.
    """
    words = _words(axis, language)
    found = [match for match in words.pattern.finditer(text) if match["word"] is not None]
    if not found:
        return None
    meant: list[tuple[str, str]] = []
    for match in found:
        options = words.of[match["word"].lower()]
        if len(options) > 1:
            concept = sense_of(match["word"], text[: match.start("word")], text[match.end("word") :])
            options = [option for option in options if option[0] == concept]
        if len(options) != 1:
            return Swap(why_not=f"what {match['word']!r} would become depends on grammar that the rules do not settle")
        meant.append(options[0])
    groups = sorted({group for _, group in meant})
    if len(groups) > 1:
        return Swap(why_not=f"it mentions several groups: {', '.join(groups)}")
    left = words.pattern.sub("", text)
    unclear = [sign for sign in (_UNCLEAR[axis] if language == "zh" else "") if sign in left]
    if unclear:
        return Swap(why_not=f"{unclear[0]!r} in it may belong to a word of the axis that is not listed")
    return Swap(
        tuple(
            Variant("", group, text if group == groups[0] else words.replaced(text, found, meant, group))
            for group in words.groups
        )
    )


@dataclass(frozen=True, slots=True)
class _Words:
    """Words of one axis."""

    pattern: re.Pattern[str]
    of: Mapping[str, list[tuple[str, str]]]
    """Lower-cased word -> what it can be: (concept, group) each."""
    word: Mapping[tuple[str, str], str]
    groups: tuple[str, ...]

    def replaced(self, text: str, found: Sequence[re.Match[str]], meant: Sequence[tuple[str, str]], group: str) -> str:
        """The text about `group`: each match (an article, if any, and a word) by its counterpart."""
        parts, end = [], 0
        for match, (concept, _) in zip(found, meant, strict=True):
            new = _in_case_of(match["word"], self.word[concept, group])
            article = match["article"]
            if article is not None:
                new = _in_case_of(article, "an" if new[0].lower() in "aeiou" else "a") + match["space"] + new
            parts += [text[end : match.start()], new]
            end = match.end()
        return "".join([*parts, text[end:]])


@cache
def _words(axis: str, language: Language) -> _Words:
    rows = [row for row in _rows(language, "identity_swaps.csv") if row["axis"] == axis]
    meanings: dict[str, dict[tuple[str, str], None]] = {}
    for row in rows:
        meanings.setdefault(row["word"].lower(), {})[row["concept"], row["group"]] = None
    either = "|".join(sorted(map(re.escape, meanings), key=len, reverse=True)) or "(?!)"
    pattern = rf"(?<![\w-])(?:(?P<article>an?)(?P<space>\s+))?(?P<word>{either})(?![\w-])"
    if language == "zh":
        others = "|".join(word for word in _NO_WORD if word not in meanings)
        pattern = rf"(?:{others})|(?P<article>(?!))?(?P<space>(?!))?(?P<word>{either})"
    return _Words(
        re.compile(pattern, re.IGNORECASE),
        {word: list(found) for word, found in meanings.items()},
        {(row["concept"], row["group"]): row["word"] for row in rows},
        tuple(sorted({row["group"] for row in rows})),
    )


def _in_case_of(old: str, new: str) -> str:
    if old.isupper() and len(old) > 1:
        return new.upper()
    return new[0].upper() + new[1:] if old[0].isupper() else new.lower()


@cache
def _rows(language: Language, name: str) -> tuple[dict[str, str], ...]:
    folder = files("suites.bias").joinpath("data")
    folder = folder if language == "en" else folder.joinpath(language)
    return tuple(csv.DictReader(folder.joinpath(name).read_text(encoding="utf-8").splitlines()))
