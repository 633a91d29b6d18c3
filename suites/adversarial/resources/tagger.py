"""An averaged-perceptron POS tagger (Honnibal 2013), read from nltk's JSON or from textblob-aptagger's pickle.

The pickle is read with an unpickler that builds dicts, sets, strings and numbers and nothing else.
"""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from harness.errors import UsageError

_LARGEST = 256 * 2**20
_BROKEN = (
    *(ValueError, KeyError, IndexError, TypeError, AttributeError, EOFError, OSError),
    *(RecursionError, OverflowError, MemoryError, pickle.UnpicklingError),
)
"""What json and pickle raise on bytes that they did not write."""
_START = ("-START-", "-START2-")
_END = ("-END-", "-END2-")

_UNIVERSAL = {
    ".": "# $ '' ( ) , -LRB- -RRB- . : ``",
    "ADJ": "JJ JJR JJS",
    "ADP": "IN",
    "ADV": "RB RBR RBS WRB",
    "CONJ": "CC",
    "DET": "DT EX PDT WDT",
    "NOUN": "NN NNP NNPS NNS NP",
    "NUM": "CD",
    "PRON": "PRP PRP$ WP WP$",
    "PRT": "POS PRT RP TO",
    "VERB": "MD VB VBD VBG VBN VBP VBZ VP",
    "X": "FW LS SYM UH",
}
PENN_TO_UNIVERSAL: Mapping[str, str] = MappingProxyType(
    {tag: coarse for coarse, tags in _UNIVERSAL.items() for tag in tags.split()}
)
"""Penn Treebank tags as the universal tags of Petrov, Das & McDonald 2012; a tag that is not here is X."""


@dataclass(frozen=True)
class Tagger:
    """Weights by feature and tag, tags of unambiguous words, and all tags; the tags of Penn Treebank."""

    weights: Mapping[str, Mapping[str, float]]
    tagdict: Mapping[str, str]
    classes: Sequence[str]
    _memo: dict[tuple[str, ...], tuple[str, ...]] = field(default_factory=dict, repr=False, compare=False)

    def tags(self, words: Sequence[str], *, universal: bool = False) -> tuple[str, ...]:
        """One tag per word of a sentence, left to right, as nltk's PerceptronTagger gives; memoised by sentence."""
        key = tuple(words)
        if key not in self._memo:
            if len(self._memo) >= 100_000:
                self._memo.clear()
            self._memo[key] = self._tag(key)
        found = self._memo[key]
        return tuple(PENN_TO_UNIVERSAL.get(tag, "X") for tag in found) if universal else found

    def _tag(self, words: tuple[str, ...]) -> tuple[str, ...]:
        context = (*_START, *map(_normal, words), *_END)
        last, before = _START
        tags = []
        for place, word in enumerate(words):
            tag = self.tagdict.get(word) or self._predicted(_features(place + 2, word, context, last, before))
            tags.append(tag)
            before, last = last, tag
        return tuple(tags)

    def _predicted(self, features: Sequence[str]) -> str:
        """The tag of the highest score; of equal ones the last in the alphabet."""
        scores: dict[str, float] = {}
        for feature in features:
            for tag, weight in self.weights.get(feature, {}).items():
                scores[tag] = scores.get(tag, 0.0) + weight
        return max(self.classes, key=lambda tag: (scores.get(tag, 0.0), tag))


def read_tagger(path: Path) -> Tagger:
    """A tagger from nltk's folder of three JSON files, a pickle, or a folder with one pickle.

    Raises UsageError where the file is too large, asks for a class, or does not hold a tagger.
    """
    try:
        parts = _read_json(path) if path.is_dir() and any(path.glob("*.weights.json")) else _read_pickle(path)
    except _BROKEN as error:
        raise UsageError(f"{path}: no POS tagger can be read from it ({error}); get another copy") from error
    if not _is_tagger(parts):
        raise UsageError(f"{path}: does not hold a POS tagger's weights, tag dictionary and tags; get another copy")
    weights, tagdict, classes = parts
    return Tagger(weights, tagdict, sorted(classes))


def _read_json(folder: Path) -> tuple[Any, Any, Any]:
    first = min(folder.glob("*.weights.json"))
    stem = first.name.removesuffix(".weights.json")
    weights, tagdict, classes = (
        json.loads(_bounded(folder / f"{stem}.{part}.json")) for part in ("weights", "tagdict", "classes")
    )
    return weights, tagdict, classes


def _read_pickle(path: Path) -> Any:
    file = min(path.glob("*.pickle")) if path.is_dir() else path
    return _PlainUnpickler(io.BytesIO(_bounded(file)), encoding="utf-8").load()


def _bounded(path: Path) -> bytes:
    if path.stat().st_size > _LARGEST:
        raise ValueError(f"larger than {_LARGEST >> 20} MiB")
    return path.read_bytes()


class _PlainUnpickler(pickle.Unpickler):
    """Builds what needs no class, and sets."""

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        if (module, name) in {("__builtin__", "set"), ("builtins", "set")}:
            return set
        raise pickle.UnpicklingError(f"refused, it asks for {module}.{name}; only plain data is read")

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError(f"refused, it refers to an outside object {pid!r}")


def _is_tagger(parts: Any) -> bool:
    if not (isinstance(parts, tuple) and len(parts) == 3):
        return False
    weights, tagdict, classes = parts
    return (
        isinstance(weights, dict)
        and all(isinstance(key, str) and _is_map(value, int | float) for key, value in weights.items())
        and _is_map(tagdict, str)
        and isinstance(classes, set | list)
        and len(classes) > 0
        and all(isinstance(tag, str) for tag in classes)
    )


def _is_map(value: Any, kind: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(k, str) and isinstance(v, kind) for k, v in value.items())


def _normal(word: str) -> str:
    if "-" in word and word[0] != "-":
        return "!HYPHEN"
    if word.isdigit() and len(word) == 4:
        return "!YEAR"
    return "!DIGITS" if word[:1].isdigit() else word.lower()


def _features(at: int, word: str, context: Sequence[str], last: str, before: str) -> list[str]:
    """The 14 features of a word: itself, its ends, its neighbours and the two tags before it."""
    return [
        "bias",
        f"i suffix {word[-3:]}",
        f"i pref1 {word[:1]}",
        f"i-1 tag {last}",
        f"i-2 tag {before}",
        f"i tag+i-2 tag {last} {before}",
        f"i word {context[at]}",
        f"i-1 tag+i word {last} {context[at]}",
        f"i-1 word {context[at - 1]}",
        f"i-1 suffix {context[at - 1][-3:]}",
        f"i-2 word {context[at - 2]}",
        f"i+1 word {context[at + 1]}",
        f"i+1 suffix {context[at + 1][-3:]}",
        f"i+2 word {context[at + 2]}",
    ]
