"""Nested states (an optimizer's) as named tensors and JSON, without pickle."""

from __future__ import annotations

from typing import Any

import torch

from harness.errors import AuditError

_TENSOR, _TUPLE, _ITEMS = "tensor", "tuple", "items"


def flatten(value: Any, where: str, tensors: dict[str, torch.Tensor]) -> Any:
    """`value` as JSON; its tensors go to `tensors` under names that begin with `where`.

    Takes dicts with int or str keys, lists, tuples, tensors, numbers, strings, bools and None. Raises AuditError
    naming anything else.
    """
    if isinstance(value, torch.Tensor):
        tensors[where] = value
        return {_TENSOR: where}
    if isinstance(value, dict):
        return {_ITEMS: [[_key(key, where), flatten(item, f"{where}/{key}", tensors)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        items = [flatten(item, f"{where}/{place}", tensors) for place, item in enumerate(value)]
        return items if isinstance(value, list) else {_TUPLE: items}
    if value is None or type(value) in (bool, int, float, str):
        return value
    raise AuditError(f"{where} is a {type(value).__name__}, which a saved state cannot hold; use an optimizer without")


def unflatten(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """What `flatten` was given."""
    if isinstance(value, list):
        return [unflatten(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == _TENSOR:
        return tensors[content]
    if kind == _TUPLE:
        return tuple(unflatten(item, tensors) for item in content)
    return {key: unflatten(item, tensors) for key, item in content}


def _key(key: Any, where: str) -> int | str:
    if type(key) not in (int, str):
        raise AuditError(f"{where} has a key of type {type(key).__name__}, which a saved state cannot hold")
    return key  # type: ignore[no-any-return]  # checked just above
