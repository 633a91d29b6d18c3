"""Changes of a text that keep its label (INV), or that should move a class's probability one way only (DIR).

Names and places are found in lists, not by a tagger: a list misses most names, a tagger needs a model that can err.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from suites.adversarial.checklist.templates import Kind, Words
from suites.adversarial.typos.corruptions import corrupt

Versions = Callable[[str, Words, random.Random, int], list[str]]
"""At most so many different versions of a text, none of them the text; none where it cannot be changed so."""
_BETWEEN = "\x1e"
"""Stands between the texts of a pair while both are changed alike."""


@dataclass(frozen=True, slots=True)
class Change:
    """A named way to change texts. `at_end` adds to the end, which a model that cuts long texts does not read."""

    name: str
    kind: Kind
    capability: str
    versions: Versions
    why_not: str
    lists: tuple[str, ...] = ()
    expect: str = ""
    at_end: bool = False
    adds: bool = False


def changed_versions(
    change: Change, text: str, pair: str | None, words: Words, seed: str, most: int
) -> list[tuple[str, str | None]]:
    """At most `most` versions of a text, or of a pair whose texts are changed alike; [] where there is none.

    Nothing is added to pairs: what the two texts say of each other would change.
    """
    rng = random.Random(f"{change.name}:{seed}")
    if pair is None:
        return [(version, None) for version in change.versions(text, words, rng, most)]
    if change.adds:
        return []
    breaks = text.count(_BETWEEN) + 1
    found: list[tuple[str, str | None]] = []
    for version in change.versions(text + _BETWEEN + pair, words, rng, most):
        parts = version.split(_BETWEEN)
        found.append((_BETWEEN.join(parts[:breaks]), _BETWEEN.join(parts[breaks:])))
    return found


def _other_words(lists: Sequence[str], guard: str, text: str, words: Words, rng: random.Random, most: int) -> list[str]:
    """One word of the lists replaced, wherever it stands, by another of its own list that the text does not have."""
    options = []
    for name in lists:
        either = "|".join(sorted(map(re.escape, words.get(name, ())), key=len, reverse=True)) or "(?!)"
        pattern = re.compile(rf"(?<![\w-])(?:{either})(?![\w-]){guard}")
        for old in dict.fromkeys(pattern.findall(text)):
            new = [word for word in words[name] if word not in text]
            options += [(re.compile(rf"(?<![\w-]){re.escape(old)}(?![\w-]){guard}"), word) for word in new]
    chosen = rng.sample(options, min(most, len(options)))
    return list(dict.fromkeys(word.join(pattern.split(text)) for pattern, word in chosen))


_NUMBER = re.compile(
    r"(?<![\w.,/#$€£-])(?<!out of )\d{2,6}(?![\w/%-]|[.,]\d|\s*(?:/|%|(?:stars?|points?|percent|out of)\b))"
)
"""Numbers of two digits or more that are no grade, share, price, rank or part of a code."""
_ROUND = frozenset({"10", "100", "1000"})
"""Mostly grades ('a perfect 10') and figures of speech."""


def _numbers(text: str, _words: Words, rng: random.Random, most: int) -> list[str]:
    """One number replaced, wherever it stands, by a near one with as many digits."""
    options = [
        (old, str(new))
        for old in dict.fromkeys(_NUMBER.findall(text))
        if old not in _ROUND and not old.startswith("0")
        for new in _near(int(old))
        if len(str(new)) == len(old) and str(new) not in _ROUND
    ]
    chosen = rng.sample(options, min(most, len(options)))
    return [_NUMBER.sub(partial(_if_old, old, new), text) for old, new in chosen]


def _if_old(old: str, new: str, match: re.Match[str]) -> str:
    return new if match[0] == old else match[0]


def _near(value: int) -> list[int]:
    """Numbers within a fifth of `value`, years within ten years; at most 20 of them."""
    reach = 10 if 1900 <= value <= 2029 else max(1, value // 5)
    step = max(1, reach // 10)
    return [value + sign * at for at in range(step, reach + 1, step) for sign in (-1, 1)]


_WITH_NOT = "do does did is are was were has have had would could should must need"
_VERBS = "|".join(form for verb in _WITH_NOT.split() for form in (verb, verb.capitalize()))
_ASKING = r"(?!\s+(?:I|you|he|she|it|we|they|there)\b)"
"""'isn't it' cannot be written out in place."""
_LONG = (
    (r"\b([Cc])an['’]t\b" + _ASKING, r"\1annot"),
    (r"\b([Ww])on['’]t\b" + _ASKING, r"\1ill not"),
    (rf"\b({_VERBS})n['’]t\b" + _ASKING, r"\1 not"),
    (r"\bI['’]m\b", "I am"),
    (r"\b([Yy]ou|[Ww]e|[Tt]hey)['’]re\b", r"\1 are"),
    (r"\b(I|[Yy]ou|[Ww]e|[Tt]hey)['’]ve\b", r"\1 have"),
    (r"\b(I|[Yy]ou|[Hh]e|[Ss]he|[Ii]t|[Ww]e|[Tt]hey)['’]ll\b", r"\1 will"),
)
_SHORT = (
    (r"\b([Cc])an ?not\b(?! only)", r"\1an't"),
    (r"\b([Ww])ill not\b(?! only)", r"\1on't"),
    (rf"\b({_VERBS}) not\b(?! only)", r"\1n't"),
    (r"\bI am\b(?= [a-z])", "I'm"),
    (r"\b([Yy]ou|[Ww]e|[Tt]hey) are\b(?= [a-z])", r"\1're"),
    (r"\b([Ii]t|[Tt]hat|[Hh]e|[Ss]he) is\b(?= [a-z])", r"\1's"),
)


def _contractions(text: str, _words: Words, _rng: random.Random, most: int) -> list[str]:
    """All that can be contracted ('do not' to 'don't'), and all contractions written out."""
    found = []
    for table in (_LONG, _SHORT):
        version = text
        for pattern, new in table:
            version = re.sub(pattern, new, version)
        found.append(version)
    return [version for version in dict.fromkeys(found) if version != text][:most]


def _typos(words_hit: int, text: str, _words: Words, rng: random.Random, most: int) -> list[str]:
    """Two neighbouring inner letters swapped in so many words of four letters or more."""
    room = corrupt(text, "swap", (0.0,), 0)[0].changeable
    if room < words_hit:
        return []
    seeds = [rng.getrandbits(32) for _ in range(most)]
    return list(dict.fromkeys(corrupt(text, "swap", (words_hit / room,), seed)[0].text for seed in seeds))


_MARKS = ".!?…,;:"


def _final_mark(text: str, _words: Words, _rng: random.Random, most: int) -> list[str]:
    """Without the mark at the end, or with a full stop where there was none or another mark than a question mark."""
    core = text.rstrip()
    bare = core.rstrip(_MARKS).rstrip()
    if not bare:
        return []
    found = [bare] if core.endswith("?") else [bare, f"{bare}."]
    return [version for version in found if version != core][:most]


def _added(name: str, before: bool, text: str, words: Words, rng: random.Random, most: int) -> list[str]:
    """A sentence of a list put before or after the text."""
    phrases = words.get(name, ())
    chosen = rng.sample(list(phrases), min(most, len(phrases)))
    core = text.strip()
    closed = core if core[-1:] in tuple(".!?…\"'”’)") else f"{core}."
    return [f"{phrase} {core}" if before else f"{closed} {phrase}" for phrase in chosen] if core else []


_NO_ADDING = "nothing is added to pairs or empty texts"
_BEFORE_NO_NAME = r"(?!\s+[A-Z])"
"""'London Bridge' and 'Paris Hilton' are no places to move."""
_TABLE = (
    Change(
        "names",
        "INV",
        "Named entities",
        partial(_other_words, ("woman", "man"), ""),
        "the text has no first name that is in the lists 'woman' and 'man'",
        ("woman", "man"),
    ),
    Change(
        "places",
        "INV",
        "Named entities",
        partial(_other_words, ("city", "country"), _BEFORE_NO_NAME),
        "the text has no place that is in the lists 'city' and 'country'",
        ("city", "country"),
    ),
    Change(
        "numbers",
        "INV",
        "Named entities",
        _numbers,
        "the text has no number of two digits or more that is no grade, share or price",
    ),
    Change("contractions", "INV", "Robustness", _contractions, "the text has nothing to contract or to write out"),
    Change("one typo", "INV", "Robustness", partial(_typos, 1), "no word has four letters with two to swap"),
    Change(
        "two typos", "INV", "Robustness", partial(_typos, 2), "fewer than two words have four letters with two to swap"
    ),
    Change("final mark", "INV", "Robustness", _final_mark, "the text has no mark at its end to change"),
    Change(
        "neutral opening",
        "INV",
        "Robustness",
        partial(_added, "neutral_opening", True),
        _NO_ADDING,
        ("neutral_opening",),
        adds=True,
    ),
    Change(
        "neutral ending",
        "INV",
        "Robustness",
        partial(_added, "neutral_ending", False),
        _NO_ADDING,
        ("neutral_ending",),
        at_end=True,
        adds=True,
    ),
    Change(
        "links and handles",
        "INV",
        "Robustness",
        partial(_added, "link", False),
        _NO_ADDING,
        ("link",),
        at_end=True,
        adds=True,
    ),
    Change(
        "praise added",
        "DIR",
        "Vocabulary",
        partial(_added, "positive_phrase", False),
        _NO_ADDING,
        ("positive_phrase",),
        "positive up",
        at_end=True,
        adds=True,
    ),
    Change(
        "complaint added",
        "DIR",
        "Vocabulary",
        partial(_added, "negative_phrase", False),
        _NO_ADDING,
        ("negative_phrase",),
        "negative up",
        at_end=True,
        adds=True,
    ),
)
CHANGES: Mapping[str, Change] = {change.name: change for change in _TABLE}
