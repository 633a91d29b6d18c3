"""Answers that are kept, so that what several probes ask of one model is computed once."""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from harness.api.scorer import Request

KEPT_BYTES = 256 << 20
"""What an audit keeps: some 120,000 reviews of 1,500 characters with their logits, little beside a model. A text that
is forgotten between two probes costs less than a hundredth of what was asked in between."""
_ENTRY = 200
"""Bytes of an entry of the table itself, roughly."""
_OBJECT = 64
_INTEGER = 36
"""Bytes of an integer in a tuple, with its place in it."""


class KeptAnswers:
    """The answers used last, as many as fit in so many bytes; those asked for again longest ago go first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: OrderedDict[Request[Any], tuple[Any, int]] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._known)

    def find(self, requests: Iterable[Request[Any]]) -> dict[Request[Any], Any]:
        """The answers that are known, by request."""
        if not self._known:
            return {}
        found = {request: self._known[request][0] for request in requests if request in self._known}
        for request in found:
            self._known.move_to_end(request)
        return found

    def keep(self, requests: Sequence[Request[Any]], answers: Sequence[Any]) -> None:
        """Keep what may be: no error (memory may have run out), nothing heavy, nothing that is drawn anew each time."""
        if not self._most:
            return
        for request, answer in zip(requests, answers, strict=True):
            if request.heavy or request.drawn or getattr(answer, "error", None) or request in self._known:
                continue
            own = _own(answer)
            size = _ENTRY + _size(request) + _size(own)
            self._known[request] = own, size
            self.bytes += size
        while self.bytes > self._most:
            _, (_, size) = self._known.popitem(last=False)
            self.bytes -= size


def _own(value: Any) -> Any:
    """The value with arrays of its own that nobody can change: a view would keep the whole batch in memory."""
    if isinstance(value, np.ndarray):
        array = value.copy()
        array.flags.writeable = False
        return array
    if isinstance(value, tuple):
        return value if not value or _is_plain(value[0]) else tuple(map(_own, value))
    if is_dataclass(value) and not isinstance(value, type):
        own = copy(value)
        for field in fields(value):
            object.__setattr__(own, field.name, _own(getattr(value, field.name)))
        return own
    return value


def _size(value: Any) -> int:
    """Bytes in memory, roughly."""
    if isinstance(value, np.ndarray):
        return value.nbytes + 2 * _OBJECT
    if isinstance(value, tuple | list):
        whole = _INTEGER * len(value) if value and _is_plain(value[0]) else sum(map(_size, value))
        return _OBJECT + whole
    if is_dataclass(value) and not isinstance(value, type):
        return _OBJECT + sum(_size(getattr(value, field.name)) for field in fields(value))
    return sys.getsizeof(value)


def _is_plain(value: Any) -> bool:
    return isinstance(value, int | float)
