"""What components of attacks have worked out, kept for the attacks on other texts."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

ENTRIES = 1 << 16
VECTORS = 1 << 14
"""Kept of what is larger: of 384 numbers each, 24 MiB."""


class Table(dict[Any, Any]):
    """A dictionary that is emptied when it holds `limit` entries.

    Threads may share it: what one of them worked out twice or lost is only worked out again.
    """

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit

    def keep(self, key: Hashable, value: Any) -> None:
        """Sets an entry."""
        if len(self) >= self._limit:
            self.clear()
        self[key] = value


class Same:
    """An object as part of a key: equal to itself alone, and alive as long as the key."""

    __slots__ = ("_of",)

    def __init__(self, of: Any) -> None:
        self._of = of

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and self._of is other._of

    def __hash__(self) -> int:
        return id(self._of)


def class_name(component: Any) -> str:
    """The component's class with its module; a subclass has another name."""
    return f"{type(component).__module__}.{type(component).__qualname__}"


def twin_of(component: Any) -> Any:
    """An object of the same class that shares its attributes' values, whose methods can be replaced by attributes."""
    twin = object.__new__(type(component))
    twin.__dict__.update(vars(component))
    return twin


@dataclass(frozen=True)
class Memo:
    """Tables by what they hold and for which settings; give one to every attack of an audit.

    Args:
        entries: a table's most entries of a few words each.
        vectors: the most texts kept with a vector or a model's answer each.
    """

    entries: int = ENTRIES
    vectors: int = VECTORS
    _tables: dict[tuple[Hashable, ...], Table] = field(default_factory=dict, repr=False)

    def table(self, *key: Hashable) -> Table:
        """The table of small entries for a kind and its settings; made when first asked for."""
        return self._tables.setdefault(key, Table(self.entries))

    def vector_table(self, *key: Hashable) -> Table:
        """The table of large entries for a kind and its settings; made when first asked for."""
        return self._tables.setdefault(key, Table(self.vectors))
