"""Makes the canaries of a training: drawn at random, different from each other and from all records."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from random import Random
from typing import Any

from harness.data.datasets import load_dataset
from harness.data.schemas import LabelledTexts
from harness.errors import DataError, UsageError
from privacy.canaries.canary import Canaries, Canary
from privacy.canaries.patterns import draw, space
from privacy.canaries.pii import full_name, person
from privacy.canaries.spec import CanaryGroup, CanarySpec

RARE = 0.1
"""Part of a vocabulary, its end, that rare words are drawn from: vocabularies are written by falling frequency."""
_TRIES = 200
"""Draws for a text that is not there yet; more are needed only where the texts of a kind run out."""
_PREFIXES = {
    "card": "The card number of {name} is ",
    "phone": "The phone number of {name} is ",
    "key": "The access key of {name} is ",
}
_OTHER = "The code of {name} is "


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What canaries are made for. `vocabulary` and `write` are called only where a kind needs them."""

    task: str
    """classification, masked_lm or causal_lm"""
    classes: tuple[str, ...]
    paired: bool
    """Whether records have two texts."""
    completions: bool
    """Whether the two are a prompt and its completion."""
    taken: Collection[str | tuple[str, str | None]]
    """Texts that no canary may be; of completions (prompt, completion), as one prompt may have many."""
    vocabulary: Callable[[], Sequence[str]]
    """Whole words of the model, the most used first."""
    write: Callable[[int, int, float], Sequence[str]]
    """(n, tokens, temperature): texts that the base writes."""


def make_canaries(spec: CanarySpec, around: Surroundings, random: Random) -> Canaries:
    """Every canary of `spec`. Raises UsageError or DataError naming a group that cannot be made."""
    made: list[Canary] = []
    taken = set(around.taken)
    key = _with_completion if around.completions else _text
    for number, group in enumerate(spec.canaries, start=1):
        _check(group, around, f"canaries: group {number} ({group.kind})")
        wanted = group.count * len(group.repetitions)
        new = list(islice(_different(_drawn(group, around, random, wanted), taken, key), wanted))
        if len(new) < wanted:
            raise UsageError(
                f"canaries: group {number} ({group.kind}): only {len(new)} of {wanted} could be made different from "
                "each other and from all records; ask for fewer, or for longer ones"
            )
        for place, canary in enumerate(new):
            repetitions = group.repetitions[place % len(group.repetitions)]
            made.append(canary.model_copy(update={"id": f"c{len(made):05d}", "repetitions": repetitions}))
    return Canaries(spec=spec.digest(), canaries=tuple(made))


def _check(group: CanaryGroup, around: Surroundings, where: str) -> None:
    if group.kind == "mislabelled" and around.task != "classification":
        raise UsageError(f"{where}: belongs to classification, and the task is {around.task}")
    if group.kind == "model-written" and around.task != "causal_lm":
        raise UsageError(f"{where}: only a causal model writes, and the task is {around.task}; use random-tokens")
    if around.paired and not around.completions and group.kind != "mislabelled":
        raise UsageError(f"{where}: these records are pairs of texts; only mislabelled canaries are made for them")
    if group.kind == "secret" and space(group.pattern) < group.count * len(group.repetitions) and not _names(group):
        raise UsageError(f"{where}: the pattern has {space(group.pattern)} secrets, fewer than are to be planted")


def _names(group: CanaryGroup) -> bool:
    return "{name}" in _prefix(group)


def _prefix(group: CanaryGroup) -> str:
    return group.prefix or (_PREFIXES.get(group.pattern, _OTHER) if group.kind == "secret" else "")


def _text(canary: Canary) -> str:
    return canary.text


def _with_completion(canary: Canary) -> tuple[str, str | None]:
    return canary.text, canary.pair


def _different(drawn: Iterable[Canary], taken: set[Any], key: Callable[[Canary], Any]) -> Iterator[Canary]:
    misses = 0
    for canary in drawn:
        if key(canary) in taken:
            misses += 1
            if misses > _TRIES:
                return
            continue
        misses = 0
        taken.add(key(canary))
        yield canary


def _drawn(group: CanaryGroup, around: Surroundings, random: Random, wanted: int) -> Iterator[Canary]:
    """Without end, but for kinds whose texts are taken from somewhere."""
    if group.kind == "mislabelled":
        yield from _mislabelled(group, around, random)
        return
    texts = _texts(group, around, random, wanted)
    for start, drawn, pattern in texts:
        text, pair = (start + drawn, None) if not around.completions else (start.strip() or "Complete:", drawn)
        yield Canary(
            id="",
            kind=group.kind,
            text=text,
            pair=pair,
            label=random.choice(around.classes) if around.classes else None,
            secret=drawn,
            pattern=pattern,
        )


def _texts(
    group: CanaryGroup, around: Surroundings, random: Random, wanted: int
) -> Iterator[tuple[str, str, str | None]]:
    """(what it begins with, what was drawn, from which pattern)"""
    prefix = _prefix(group)
    if group.kind == "model-written":
        for text in around.write(2 * wanted, group.tokens, group.temperature):  # some repeat each other
            if text.strip():
                yield prefix, text.strip(), None
        return
    words: Sequence[str] = ()
    if group.kind in ("random-tokens", "rare-tokens"):
        words = around.vocabulary()
        if group.kind == "rare-tokens":
            words = words[-max(1, int(RARE * len(words))) :]
        if not words:
            raise UsageError(f"canaries: {group.kind}: the vocabulary has no whole words; use secret or pii")
    while True:
        start = prefix.replace("{name}", full_name(random))
        if group.kind == "secret":
            yield start, draw(group.pattern, random), group.pattern
        elif group.kind == "pii":
            before, secret = person(random, group.forms)
            yield start + before, secret, None
        else:
            yield start, " ".join(random.choices(words, k=group.tokens)), None


def _mislabelled(group: CanaryGroup, around: Surroundings, random: Random) -> Iterator[Canary]:
    assert group.data is not None  # the group was validated
    dataset = load_dataset(group.data, LabelledTexts)
    if around.paired != ("pair" in dataset.frame.columns):
        raise DataError(f"{group.data.source}: must have the same columns as the training records")
    classes = dataset.labels.classes(around.classes)
    shared = set(dataset.frame["text"]) & set(around.taken)
    if shared and len(shared) == len(set(dataset.frame["text"])):
        raise DataError(
            f"{group.data.source}: all of these records are trained on or held out; take another slice for canaries"
        )
    order = list(range(len(dataset)))
    random.shuffle(order)
    for row in order:
        own = around.classes[classes[row]]
        yield Canary(
            id="",
            kind="mislabelled",
            text=str(dataset.frame["text"].iloc[row]),
            pair=str(dataset.frame["pair"].iloc[row]) if around.paired else None,
            label=random.choice([name for name in around.classes if name != own]),
            true_label=own,
        )
