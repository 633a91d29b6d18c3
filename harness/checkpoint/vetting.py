"""config.json under an allow-list: known settings of known types reach a config class, nothing else does."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.checkpoint.architectures import BOOKKEEPING, known_settings, known_tokenizers
from harness.errors import CheckpointError

_WORD = re.compile(r"[\w+. -]{0,100}", re.ASCII)
"""A text that is a setting ('gelu_new', 'absolute'): no slash, colon or @, so it can name nothing elsewhere."""
_LABEL = 1_000
"""Most characters of a class name."""
_DEPTH, _ITEMS = 4, 20_000
"""gpt_neo's attention_types nest three deep; layer_types and id2label are the long ones."""
_INTEGER = 2**63
_KINDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a word",
    list: "a list",
    tuple: "a list",
    dict: "an object",
}


_CHOICES = {
    "problem_type": ("regression", "single_label_classification", "multi_label_classification"),
}
"""Settings with few values, of which version 5 of transformers takes any."""


@dataclass(frozen=True, slots=True)
class Vetted:
    """Settings that passed, and the names of those that were left out."""

    values: dict[str, Any]
    dropped: tuple[str, ...]

    @property
    def note(self) -> str | None:
        """What a reader must know of what was left out."""
        if not self.dropped:
            return None
        return f"config.json: left out what its architecture does not read ({named(self.dropped)})."


def named(names: Sequence[str]) -> str:
    """The first few of many names, each cut to a length that can be read."""
    return ", ".join(name[:60] for name in names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def vet_config(raw: Mapping[str, Any], model_type: str, where: Path) -> Vetted:
    """The settings of a config.json that its architecture reads. Raises CheckpointError for one of a wrong type."""
    known = known_settings(model_type)
    values: dict[str, Any] = {}
    dropped: list[str] = []
    for name, value in raw.items():
        if name in {"architectures", "model_type"}:
            continue
        if name not in known:
            if not BOOKKEEPING.fullmatch(name):
                dropped.append(name)
        elif name == "tokenizer_class" and not (isinstance(value, str) and value in known_tokenizers()):
            if value is not None:
                dropped.append(name)
        else:
            values[name] = _vetted(name, value, known[name], where)
    return Vetted(values, tuple(sorted(dropped)))


def _vetted(name: str, value: Any, default: Any, where: Path) -> Any:
    if name in _CHOICES and value is not None and value not in _CHOICES[name]:
        raise CheckpointError(f"{where}: {name} is {_shown(value)}, not one of {', '.join(_CHOICES[name])}; correct it")
    if name in {"id2label", "label2id"}:
        return _labels(name, value, where)
    if not _is_plain(value):
        raise CheckpointError(f"{where}: {name} is no plain setting ({_shown(value)}); correct the config")
    if not _same_kind(name, value, default):
        kind = _KINDS.get(type(default), "another kind of value")
        raise CheckpointError(f"{where}: {name} is {_shown(value)} where {kind} is meant; correct the config")
    return value


def _labels(name: str, value: Any, where: Path) -> Any:
    """Class names may be any text, but short."""
    if value is None:
        return None
    if not isinstance(value, dict):
        raise CheckpointError(f"{where}: {name} is {_shown(value)}, not an object of labels; correct the config")
    for pair in value.items():
        for part in pair:
            long = isinstance(part, str) and len(part) > _LABEL
            if long or not isinstance(part, str | int) or isinstance(part, bool):
                raise CheckpointError(f"{where}: {name} holds {_shown(part)}, which is no class name; correct it")
    return value


def _is_plain(value: Any, depth: int = 0) -> bool:
    """Numbers, short words, and small lists and objects of them."""
    if value is None or isinstance(value, bool):
        return True
    if isinstance(value, int):
        return abs(value) < _INTEGER
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, str):
        return _WORD.fullmatch(value) is not None
    if depth >= _DEPTH or not isinstance(value, list | dict) or len(value) > _ITEMS:
        return False
    items = [*value, *value.values()] if isinstance(value, dict) else value
    return all(_is_plain(item, depth + 1) for item in items)


def _same_kind(name: str, value: Any, default: Any) -> bool:
    """Whether a value can stand where its config class has `default`; None and unknown defaults say nothing."""
    if value is None or default is None or default is inspect.Parameter.empty:
        return True
    if name.endswith("_token_id") and isinstance(value, list):
        return all(isinstance(item, int) for item in value)
    if isinstance(default, bool):
        return isinstance(value, bool) or value in (0, 1)
    if isinstance(default, int):
        return isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if isinstance(default, float):
        return isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(default, str):
        return isinstance(value, str)
    if isinstance(default, list | tuple):
        return isinstance(value, list)
    return not isinstance(default, dict) or isinstance(value, dict)


def _shown(value: Any) -> str:
    """A value of any size, short."""
    if isinstance(value, list | dict):
        return f"a {'list' if isinstance(value, list) else 'object'} of {len(value):,}"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= _INTEGER:
        return "an integer of over 64 bits"
    text = repr(value[:60]) + "…" if isinstance(value, str) and len(value) > 60 else repr(value)
    return text
