"""Reads YAML into pydantic models, and turns what is wrong into one sentence with a suggestion."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from harness.errors import UsageError

M = TypeVar("M", bound=BaseModel)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file. Raises UsageError naming file, line and column."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UsageError(f"{path}: no such file") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 (byte {error.start}); save it as UTF-8") from error
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise UsageError(f"{path}{where}: not valid YAML ({getattr(error, 'problem', None) or error})") from error
    if content is None:
        raise UsageError(f"{path}: empty; it must hold a mapping of keys")
    if not isinstance(content, dict):
        raise UsageError(f"{path}: must hold a mapping of keys, not {type(content).__name__}")
    return content


def load_yaml(path: Path, model: type[M]) -> M:
    """The model in a YAML file. Raises UsageError."""
    return validated(model, read_yaml(path), str(path))


def validated(model: type[M], values: Any, where: str) -> M:
    """`model` from `values`. Raises UsageError: `where`, the key, the rule, and the nearest known key."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise UsageError(f"{where}: {_sentence(error, model)}") from error
    except UsageError as error:  # of a file or a name that the values refer to
        raise UsageError(f"{where}: {error}") from error


def _sentence(error: ValidationError, model: type[BaseModel]) -> str:
    errors = error.errors(include_url=False)  # a misspelt key comes first: it is why another one is missing
    first = next((each for each in errors if each["type"] == "extra_forbidden"), errors[0])
    path = [str(part) for part in first["loc"]]
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    if first["type"] == "extra_forbidden":
        close = difflib.get_close_matches(path[-1], _known_keys(model, first["loc"][:-1]), 1, cutoff=0.5)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        return f"unknown key {'.'.join(path)!r}{hint}{more}"
    if first["type"] == "missing":
        return f"missing key {'.'.join(path)!r}{more}"
    own = first["type"] == "value_error"  # a sentence of ours, about keys that it names
    said = first["msg"].removeprefix("Value error, ") if own else first["msg"]
    given = "" if not path or (own and isinstance(first["input"], Mapping)) else f", got {str(first['input'])[:60]!r}"
    about = ".".join(path) or ("" if own else "content")
    return f"{about}{': ' if about else ''}{said}{given}{more}"


def _known_keys(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """Field names of the model that `path` leads to."""
    current: Any = model
    for part in path:
        if isinstance(part, int) or not (isinstance(current, type) and issubclass(current, BaseModel)):
            continue
        field = current.model_fields.get(part)
        current = _model_in(field.annotation) if field else None
    return list(current.model_fields) if isinstance(current, type) and issubclass(current, BaseModel) else []


def _model_in(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        found = _model_in(argument)
        if found is not None:
            return found
    return None
