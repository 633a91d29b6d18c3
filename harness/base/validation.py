"""Reads YAML into pydantic models, and turns what is wrong into one sentence with a suggestion."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from harness.base.hints import did_you_mean
from harness.base.limits import YAML_BYTES, capped
from harness.base.regular import read_bounded
from harness.base.strict_yaml import YamlError, parse_yaml
from harness.errors import UsageError

M = TypeVar("M", bound=BaseModel)
_ABSENT = object()
_KINDS = {list: "a list", bool: "a boolean", int: "a number", float: "a number"}


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file. Raises UsageError naming file, line and column."""
    content = read_bounded(path, capped(YAML_BYTES))
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 (byte {error.start}); save it as UTF-8") from error
    return yaml_mapping(text, str(path))


def yaml_mapping(text: str, where: str) -> dict[str, Any]:
    """The mapping in a YAML text that was found at `where`. Raises UsageError naming line and column."""
    try:
        content = parse_yaml(text)
    except YamlError as error:
        place = f", line {error.line}" + (f", column {error.column}" if error.column else "") if error.line else ""
        raise UsageError(f"{where}{place}: {error.problem}") from error
    if content is None:
        raise UsageError(f"{where}: empty; it must hold a mapping of keys")
    if not isinstance(content, dict):
        raise UsageError(f"{where}: must hold a mapping of keys, not {_KINDS.get(type(content), 'text')}")
    return content


def load_yaml(path: Path, model: type[M]) -> M:
    """The model in a YAML file. Raises UsageError."""
    return validated(model, read_yaml(path), str(path))


def validated(model: type[M], values: Any, where: str) -> M:
    """`model` from `values`. Raises UsageError: `where`, the key, the rule, and the nearest known key.

    A boolean is refused where a number or text is meant (pydantic takes true for 1), and so is a number that is none.
    """
    try:
        made = model.model_validate(values)
    except ValidationError as error:
        raise UsageError(f"{where}: {_sentence(error, model)}") from error
    except UsageError as error:  # of a file or a name that the values refer to
        raise UsageError(f"{where}: {error}") from error
    wrong = next(_misread(values, made, ()), None)
    if wrong is not None:
        raise UsageError(f"{where}: {wrong}")
    return made


def _misread(given: Any, made: Any, path: tuple[str, ...]) -> Iterator[str]:
    """What values became in a model that they do not say."""
    if isinstance(given, Mapping):
        for key, value in given.items():
            inner = made.get(key, _ABSENT) if isinstance(made, Mapping) else getattr(made, str(key), _ABSENT)
            if inner is not _ABSENT:
                yield from _misread(value, inner, (*path, str(key)))
    elif isinstance(given, (list, tuple)) and isinstance(made, (list, tuple)):
        for number, (value, inner) in enumerate(zip(given, made, strict=False)):
            yield from _misread(value, inner, (*path, str(number)))
    elif isinstance(given, bool) and isinstance(made, (int, float, str)) and not isinstance(made, bool):
        yield f"{'.'.join(path)}: {str(given).lower()} is a boolean; write a number, or quote it where it is text"
    elif isinstance(made, float) and not math.isfinite(made):
        yield f"{'.'.join(path)}: must be a finite number, got {str(given)[:20]!r}"


def _sentence(error: ValidationError, model: type[BaseModel]) -> str:
    errors = error.errors(include_url=False)  # a misspelt key comes first: it is why another one is missing
    first = next((each for each in errors if each["type"] == "extra_forbidden"), errors[0])
    path = [str(part) for part in first["loc"]]
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    if first["type"] == "extra_forbidden":
        known = _known_keys(model, first["loc"][:-1])
        return f"unknown key {'.'.join(path)!r}{did_you_mean(path[-1], known) or _there(known)}{more}"
    if first["type"] == "missing":
        return f"missing key {'.'.join(path)!r}{more}"
    own = first["type"] == "value_error"  # a sentence of ours, about keys that it names
    said = first["msg"].removeprefix("Value error, ") if own else first["msg"]
    if first["type"] == "model_type":  # pydantic would name the class
        said = f"must hold keys of its own ({', '.join(_known_keys(model, first['loc'])[:3])} …)"
    if first["type"] == "too_short":  # pydantic would name the Python type
        least = first["ctx"]["min_length"]
        said = f"must hold at least {least} item{'' if least == 1 else 's'}"
    if first["type"] == "finite_number":
        said = "must be a finite number"
    given = "" if not path or (own and isinstance(first["input"], Mapping)) else f", got {str(first['input'])[:60]!r}"
    about = ".".join(path) or ("" if own else "content")
    quote = "; quote it" if first["type"] == "string_type" and isinstance(first["input"], (bool, int, float)) else ""
    return f"{about}{': ' if about else ''}{said}{given}{quote}{more}"


def _known_keys(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """Field names of the model that `path` leads to."""
    current: Any = model
    for part in path:
        if isinstance(part, int) or not (isinstance(current, type) and issubclass(current, BaseModel)):
            continue
        field = current.model_fields.get(part)
        current = _model_in(field.annotation) if field else None
    return list(current.model_fields) if isinstance(current, type) and issubclass(current, BaseModel) else []


def _there(names: list[str]) -> str:
    """The keys that are there, for one that is like none of them; the first eight where there are more."""
    return f"; there is {', '.join(names[:8])}{' …' if len(names) > 8 else ''}" if names else ""


def _model_in(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        found = _model_in(argument)
        if found is not None:
            return found
    return None
