"""Dataset schemas that several probes share."""

from __future__ import annotations

import math
import re
from typing import Any

import pandas as pd
import pandera.pandas as pa
from pandera.typing import Series

EMPTY = "is empty; fill it in or leave the row out"
"""What messages say of a cell without content."""


LISTS = "lists"
"""Key in a column's metadata: it may hold lists, which are read as JSON; `pa.Field(metadata={LISTS: True})`."""


_BOUNDS = {
    "greater_than_or_equal_to": "is below {}",
    "greater_than": "is not above {}",
    "less_than_or_equal_to": "is over {}",
    "less_than": "is not below {}",
    "in_range": "does not lie in {}",
    "isin": "is none of {}",
    "notin": "is one of {}",
}


def broken_rule(check: str, value: object) -> str:
    """What a cell does wrong, in words: `value` fails `check`, a rule as pandera names it or a sentence of its own."""
    if check == "not_nullable" or value is None or (isinstance(value, float) and math.isnan(value)):
        return EMPTY
    named = re.fullmatch(r"(\w+)(?:\((.*)\))?", check, re.DOTALL)
    if named is None:
        return check
    name, given = named[1], (named[2] or "").strip("[]")
    if name in _BOUNDS:
        return _BOUNDS[name].format(given)
    if name == "field_uniqueness":
        return "is there twice"
    if name in ("dtype", "coerce_dtype"):
        return f"is no {given.strip(chr(39))}"
    return f"breaks the rule {check!r}"


def has_text(values: Series[str]) -> Series[bool]:
    """Which texts [n] hold more than white space."""
    return values.str.strip().str.len() > 0  # type: ignore[return-value]


class Texts(pa.DataFrameModel):
    """Plain texts, one per row."""

    text: Series[str] = pa.Field(coerce=True)

    @pa.check("text", error=EMPTY)
    @classmethod
    def not_empty(cls, values: Series[str]) -> Series[bool]:
        """A text of white space alone says nothing."""
        return has_text(values)


class PairedTexts(Texts):
    """Texts, each with the text that goes with it where there are such."""

    pair: Series[str] | None = pa.Field(coerce=True)


class Instructions(Texts):
    """Prompts, each with its completion as the text that goes with it."""

    pair: Series[str] = pa.Field(coerce=True)

    @pa.check("pair", error=EMPTY)
    @classmethod
    def completed(cls, values: Series[str]) -> Series[bool]:
        """A completion of white space alone teaches nothing."""
        return has_text(values)


class LabelledTexts(PairedTexts):
    """Texts, or text pairs in every row, with the true label, by name or by index."""

    label: Series[Any] = pa.Field(nullable=False)

    @pa.check("pair", error=EMPTY)
    @classmethod
    def both_given(cls, values: Series[str]) -> Series[bool]:
        """A pair has two texts."""
        return has_text(values)

    @pa.check("label", error=EMPTY)
    @classmethod
    def is_given(cls, values: Series[Any]) -> Series[bool]:
        """An empty label is a missing one."""
        return pd.Series([str(value).strip() != "" for value in values], index=values.index)  # type: ignore[return-value]
