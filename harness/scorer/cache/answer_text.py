"""Requests and answers as text, and answers back from it: JSON of known classes, never pickle."""

from __future__ import annotations

import base64
import json
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import numpy as np

import harness.api.requests
import harness.api.scorer

_NUMBERS = "fiub"


def to_text(value: Any) -> str | None:
    """The value as canonical JSON; None where part of it is of no class that Assay defines for this."""
    try:
        return json.dumps(_encoded(value), sort_keys=True, separators=(",", ":"))
    except TypeError:
        return None


def from_text(text: str) -> Any:
    """What `to_text` was given. Raises ValueError for anything else."""
    try:
        return _decoded(json.loads(text))
    except (ValueError, TypeError, KeyError, IndexError, RecursionError) as error:
        raise ValueError(f"not an answer: {error}") from error


def _encoded(value: Any) -> Any:
    if isinstance(value, Enum):
        return {"enum": [_name(type(value)), value.value]}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple):
        return {"tuple": [_encoded(each) for each in value]}
    if isinstance(value, np.ndarray) and value.dtype.kind in _NUMBERS:
        data = base64.b64encode(np.ascontiguousarray(value).tobytes()).decode()
        return {"array": [value.dtype.str, list(value.shape), data]}
    if is_dataclass(value) and not isinstance(value, type):
        return {"object": [_name(type(value)), [_encoded(getattr(value, each.name)) for each in fields(value)]]}
    raise TypeError(f"a {type(value).__name__}")


def _decoded(value: Any) -> Any:
    if not isinstance(value, dict):
        if isinstance(value, list):
            raise ValueError("a bare list")
        return value
    ((kind, content),) = value.items()
    if kind == "tuple":
        return tuple(_decoded(each) for each in content)
    if kind == "array":
        dtype = np.dtype(content[0])
        if dtype.kind not in _NUMBERS:
            raise ValueError(f"numbers of {dtype}")
        array = np.frombuffer(base64.b64decode(content[2], validate=True), dtype=dtype).reshape(content[1])
        return array.copy()
    made = _classes()[content[0]]
    if kind == "enum":
        return made(content[1])
    if kind != "object" or len(content[1]) != len(fields(made)):
        raise ValueError(kind)
    return made(*(_decoded(each) for each in content[1]))


def _name(kind: type) -> str:
    name = f"{kind.__module__}.{kind.__qualname__}"
    if name not in _classes():
        raise TypeError(f"a {name}")
    return name


@cache
def _classes() -> dict[str, Any]:
    """Classes of requests and answers by full name."""
    rooms = [harness.api.scorer]
    rooms += [
        import_module(f"{harness.api.requests.__name__}.{found.name}")
        for found in iter_modules(harness.api.requests.__path__)
    ]
    own = (kind for room in rooms for kind in vars(room).values() if getattr(kind, "__module__", "") == room.__name__)
    kinds = [kind for kind in own if isinstance(kind, type) and (is_dataclass(kind) or issubclass(kind, Enum))]
    return {f"{kind.__module__}.{kind.__qualname__}": kind for kind in kinds}
