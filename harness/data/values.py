"""Values of typed columns as text, and lists of such as JSON: which types have a text, and which."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from datetime import date, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

_ITEM_BYTES = 64
"""What a Python object of a list takes at least, its text aside."""


def plain_text(value: Any) -> str | None:
    """A value as text, by the rules of this module. Raises ValueError where it has none."""
    if value is None:
        return None
    if isinstance(value, str):
        try:
            value.isascii() or value.encode()
        except UnicodeEncodeError:
            raise ValueError("holds half of a surrogate pair, which is no character; correct the text") from None
        if "\0" in value:
            raise ValueError("holds the character U+0000; take it out")
        return str(value)
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    if isinstance(value, (int, np.integer)):
        return str(int(value))
    if isinstance(value, (float, np.floating)):
        return None if math.isnan(value) else str(value)
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    kind = "a list" if isinstance(value, list) else "a structure" if isinstance(value, dict) else type(value).__name__
    raise ValueError(f"holds {kind} where text is needed; write out as text what the model is to read")


def list_text(value: Any) -> str | None:
    """A list as JSON, its items as text; lists under names, as SQuAD's answers are, as a JSON object of such lists.

    A list of structures with the same names becomes lists under these names. What is no list is plain text. Raises
    ValueError for lists within lists, missing items, and lists under names that are of different lengths.
    """
    if isinstance(value, (list, tuple, np.ndarray)):
        items = list(value)
        if items and all(isinstance(each, Mapping) for each in items):
            return _json(_turned(items))
        return _json(_items(items))
    if isinstance(value, Mapping):
        if not value or not all(isinstance(each, (list, tuple, np.ndarray)) for each in value.values()):
            raise ValueError("holds a structure of other things than lists; give a list, or lists under names")
        found = {str(plain_text(name)): _items(each) for name, each in value.items()}
        if len({len(each) for each in found.values()}) > 1:
            raise ValueError(f"holds lists of different lengths under {', '.join(map(repr, found))}; correct them")
        return _json(found)
    return plain_text(value)


def _items(values: Iterable[Any]) -> list[str]:
    found = []
    for value in values:
        if isinstance(value, (list, tuple, np.ndarray, Mapping)):
            raise ValueError("holds lists or structures within a list; give a list of texts")
        text = plain_text(value)
        if text is None:
            raise ValueError("holds a list with a missing item; fill it in or take it out")
        found.append(text)
    return found


def _turned(items: list[Any]) -> dict[str, list[str]]:
    names = list(items[0])
    if not names or any(set(each) != set(names) for each in items):
        raise ValueError("holds a list of structures with different names; give each the same")
    return {str(plain_text(name)): _items(each[name] for each in items) for name in names}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def is_plain(kind: pa.DataType) -> bool:
    """Whether values of an Arrow type have a text."""
    import pyarrow.types as types

    kind = kind.value_type if types.is_dictionary(kind) else kind
    return bool(
        types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_string_view(kind)
        or types.is_boolean(kind)
        or types.is_integer(kind)
        or types.is_floating(kind)
        or types.is_decimal(kind)
        or types.is_date(kind)
        or types.is_time(kind)
        or types.is_timestamp(kind)
        or types.is_null(kind)
    )


def is_listed(kind: pa.DataType) -> bool:
    """Whether it is of lists that `list_text` writes: of plain values, under names, or of structures of plain ones."""
    import pyarrow.types as types

    if types.is_struct(kind):
        return all(_is_list(field.type) and is_plain(field.type.value_type) for field in kind)
    if not _is_list(kind):
        return False
    item = kind.value_type
    return is_plain(item) or (types.is_struct(item) and all(is_plain(field.type) for field in item))


def _is_list(kind: pa.DataType) -> bool:
    import pyarrow.types as types

    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def unpacked_bytes(array: pa.Array) -> int:
    """About what an array takes as Python objects, counted before any is made: one text can stand a million times."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_struct(array.type):
        return sum(unpacked_bytes(each) for each in array.flatten())
    if _is_list(array.type):
        return _ITEM_BYTES * len(array) + unpacked_bytes(array.flatten())
    if isinstance(array, pa.DictionaryArray):
        lengths = pc.binary_length(array.dictionary) if _has_length(array.dictionary) else None
        text = 0 if lengths is None else pc.sum(lengths.take(array.indices)).as_py() or 0
    else:
        text = (pc.sum(pc.binary_length(array)).as_py() or 0) if _has_length(array) else 0
    return _ITEM_BYTES * len(array) + int(text)


def _has_length(array: pa.Array) -> bool:
    import pyarrow.types as types

    return bool(types.is_string(array.type) or types.is_large_string(array.type))
