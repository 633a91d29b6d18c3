"""Which class of a model a label in data means: by name, by `label_map`, or by number where that means one thing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.errors import WrongDataError

_SYNONYMS = {"neg": "negative", "negative": "neg", "pos": "positive", "positive": "pos"}
_POLARITY = {"negative": -1, "neg": -1, "neutral": 0, "neu": 0, "positive": 1, "pos": 1}
_NLI = {"entailment", "contradiction"}
_WHOLE = re.compile(r"(-?[0-9]{1,18})(\.0*)?")


def plain_label(value: object) -> str:
    """A label without white space around it; 1, 1.0 and ' 1 ' are the same label."""
    text = str(value).strip()
    whole = _WHOLE.fullmatch(text)
    return whole[1] if whole and whole[2] is not None else text


class LabelMap:
    """`label_map` of a source: a key is a label as the data write it, else the same number written otherwise."""

    def __init__(self, given: Mapping[str, str]) -> None:
        self._exact = dict(given)
        self._loose = {plain_label(key): key for key in reversed(list(given))}

    def key(self, value: str) -> str | None:
        """The key that is about a label; None where none is."""
        return value if value in self._exact else self._loose.get(plain_label(value))

    def __call__(self, value: str) -> str | None:
        """What a label is mapped to; None where it is not."""
        key = self.key(value)
        return None if key is None else self._exact[key]

    def unused(self, values: Iterable[str]) -> list[str]:
        """Keys that are about none of the labels."""
        used = {self.key(value) for value in values}
        return [key for key in self._exact if key not in used]


@dataclass(frozen=True, slots=True)
class Labels:
    """Labels of the rows in use, those of the whole source (evidence of what they count from), and where they are."""

    used: Sequence[str]
    seen: frozenset[str]
    label_map: Mapping[str, str]
    where: str

    def classes(self, names: Sequence[str]) -> list[int]:
        """Class index of each row's label among the model's class `names`.

        Labels that are all names of classes are read as names, whole numbers otherwise as class numbers; never some
        as one and some as the other. Raises WrongDataError naming the first row that fits no class, and where numbers
        could mean two things.
        """
        check_names(names, self.where)
        mapped = LabelMap(self.label_map)
        base = self._base(names, mapped)
        known: dict[str, int] = {}
        found = []
        for row, value in enumerate(self.used):
            if value not in known:
                target = mapped(value)
                plain = plain_label(value)
                if target is not None:
                    index = class_of(target, names)
                elif base is None:
                    index = class_of_name(plain, names)
                else:
                    index = class_of_number(plain, names, base)
                if index is None:
                    raise WrongDataError(self._misfit(row, plain, target, names))
                known[value] = index
            found.append(known[value])
        return found

    def note(self, names: Sequence[str]) -> str:
        """How numbers are read, where labels are numbers; '' where they are names."""
        base = self._base(names, LabelMap(self.label_map))
        if base is None:
            return ""
        numbers = [f"{index + base} is {name!r}" for index, name in enumerate(names[:10])]
        more = ["..."] if len(names) > 10 else []
        return f"labels are whole numbers, read as classes counted from {base}: {', '.join(numbers + more)}"

    def _base(self, names: Sequence[str], mapped: LabelMap) -> int | None:
        """What numbers count from; None where labels are names. Raises WrongDataError where that is not to be told."""
        plain = {plain_label(value) for value in self.used if mapped(value) is None}
        if not plain or not all(_is_whole(value) for value in plain):
            return None
        if all(class_of_name(value, names) is not None for value in plain):
            return None
        seen = {plain_label(value) for value in self.seen} | plain
        base = 0 if "0" in seen else 1 if str(len(names)) in seen else None
        within = all(0 <= int(value) <= len(names) for value in plain)
        if within and base is None:
            raise WrongDataError(
                f"{self.where}: its labels {_listed(plain)} could count the model's classes from 0 or from 1, as "
                f"neither 0 nor {len(names)} is among them; say label_map: {{{min(plain)}: <class>}}"
            )
        if within and (why := _unordered(names)):
            raise WrongDataError(
                f"{self.where}: its labels are numbers, {why}; say label_map: {{{min(plain)}: <class>}}"
            )
        return base or 0

    def _misfit(self, row: int, value: str, target: str | None, names: Sequence[str]) -> str:
        given = repr(value) if target is None else f"{value!r} (mapped to {target!r})"
        return (
            f"{self.where}: row {row + 1} of those used has the label {given}, the model's classes are "
            f"{shown(names)}; map it with label_map: {{{value}: <class>}}"
        )


def fixed_class(value: str, names: Sequence[str], label_map: Mapping[str, str]) -> int | None:
    """Class index of one label, told by that label alone; None where it is none of the classes.

    `Labels.classes` looks at all labels to tell whether numbers are meant, so one record can change how the others are
    read; under differential privacy it must not. Here a label is what `label_map` says of it, else a class name, and
    never a class number.
    """
    target = LabelMap(label_map)(value)
    return class_of_name(plain_label(value), names) if target is None else class_of(target, names)


def check_names(names: Sequence[str], where: str) -> None:
    """Raises WrongDataError where two classes of the model have the same name."""
    twice = [name for name in names if list(names).count(name) > 1] if len(set(names)) != len(names) else []
    if twice:
        raise WrongDataError(
            f"{where}: two of the model's classes are called {twice[0]!r}; give each a name in its config"
        )


def class_of(value: str, names: Sequence[str]) -> int | None:
    """Index of the class called `value`, else of the class with that number, counted from 0."""
    index = class_of_name(value, names)
    return class_of_number(value, names) if index is None else index


def class_of_name(value: str, names: Sequence[str]) -> int | None:
    """Index of the class called `value`: letter for letter, else in any case, else by neg/negative and pos/positive."""
    folded = [name.casefold() for name in names]
    name = value.casefold()
    for wanted, known in ((value, list(names)), (name, folded), (_SYNONYMS.get(name), folded)):
        if wanted in known:
            return known.index(wanted)
    return None


def class_of_number(value: str, names: Sequence[str], base: int = 0) -> int | None:
    """Index of the class number `value`, counted from `base`, if there is such a class."""
    index = int(value) - base if _is_whole(value) else -1
    return index if 0 <= index < len(names) else None


def is_sentiment(names: Sequence[str]) -> bool:
    """Whether the classes are negative and positive (or neg and pos), in either order and any case."""
    return sorted(_POLARITY.get(name.casefold(), 9) for name in names) == [-1, 1]


def shown(names: Sequence[str]) -> str:
    """Class names with their numbers."""
    return ", ".join(f"{index} {name!r}" for index, name in enumerate(names[:20])) + (
        f" and {len(names) - 20} more" if len(names) > 20 else ""
    )


def _is_whole(value: str) -> bool:
    return value.isascii() and value.removeprefix("-").isdecimal() and len(value) < 19


def _unordered(names: Sequence[str]) -> str:
    """Why numbers in data need not follow the order of these classes."""
    folded = [name.casefold() for name in names]
    if _NLI & set(folded):
        return f"and data sets of entailment number their classes in several orders (the model's is {shown(names)})"
    poles = [_POLARITY[name] for name in folded if name in _POLARITY]
    if len(poles) == len(names) and poles != sorted(poles):
        return f"and the model's order, {shown(names)}, is not from negative to positive, as numbers mostly are"
    return ""


def _listed(values: Iterable[str]) -> str:
    ordered = sorted(values, key=lambda value: (len(value), value))
    return ", ".join(ordered[:10]) + (", ..." if len(ordered) > 10 else "")
