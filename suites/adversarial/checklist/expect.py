"""What a behavioural test expects, and whether an answer meets it, as CheckList decides (Ribeiro et al. 2020).

INV: a changed text must get the class that the text got. CheckList's own default forgives a flip where the first
class's probability moves by at most 0.1; here that is the parameter `flip_tolerance`, 0 unless set.
DIR: the probability of the class must not fall (up) or rise (down) by more than the tolerance; a text whose
probability is so near the end of the scale that it cannot do so is no evidence and is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from harness.api.scorer import ClassScores
from suites.labels import class_of

What = Literal["is", "is not", "same", "up", "down"]
_SHOWN = {"is": "{}", "is not": "not {}", "same": "the same class", "up": "{} not down", "down": "{} not up"}


@dataclass(frozen=True, slots=True)
class Expectation:
    """What is expected of the class `name`, number `index` of the checkpoint; of no class for 'same'."""

    what: What
    name: str = ""
    index: int = -1

    @property
    def shown(self) -> str:
        """As it stands in rows."""
        return _SHOWN[self.what].format(self.name)


@dataclass(frozen=True, slots=True)
class Tolerances:
    """How far a probability may move the wrong way."""

    direction: float
    flip: float


def read_expectation(kind: str, text: str, labels: Sequence[str], names: Mapping[str, str]) -> Expectation | None:
    """The expectation a test's `expect` column states; None where its class is none of `labels`.

    `names` says which label a class named in the tests is, where it is called otherwise.
    """
    if kind == "INV":
        return Expectation("same")
    what: What
    if kind == "DIR":
        name, _, end = text.rpartition(" ")
        if end not in ("up", "down"):
            return None
        what = "up" if end == "up" else "down"
    else:
        negated = text.startswith("not ") and _index(text, labels, names) is None
        what, name = ("is not", text.removeprefix("not ")) if negated else ("is", text)
    index = _index(name, labels, names)
    return None if index is None else Expectation(what, name, index)


def fails_alone(expected: Expectation, answer: ClassScores) -> bool:
    """Whether the answer to a text by itself fails an MFT test."""
    return (answer.label == expected.index) == (expected.what == "is not")


def fails_changed(expected: Expectation, before: ClassScores, after: ClassScores, allowed: Tolerances) -> bool | None:
    """Whether the answer to a changed text fails an INV or DIR test; None where it could not (see the module)."""
    if expected.what == "same":
        flipped = after.label != before.label
        return flipped and (allowed.flip == 0 or abs(wrong_way(expected, before, after)) > allowed.flip)
    start = float(before.probabilities[expected.index])
    room = start if expected.what == "up" else 1 - start
    if room <= allowed.direction:
        return None
    return wrong_way(expected, before, after) > allowed.direction


def wrong_way(expected: Expectation, before: ClassScores, after: ClassScores) -> float:
    """How far the probability at stake moved the wrong way: of the class first predicted (INV), or of the named one."""
    index = before.label if expected.what == "same" else expected.index
    fall = float(before.probabilities[index] - after.probabilities[index])
    return -fall if expected.what == "down" else fall


def _index(name: str, labels: Sequence[str], names: Mapping[str, str]) -> int | None:
    return class_of(names.get(name, name), labels)
