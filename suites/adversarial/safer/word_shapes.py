"""Words that may stand for each other in a text: where words lie, and how a substitute takes over the case.

A certificate needs that a text with substitutes has the same words in the same places as before, in the same case, so
that it is smoothed like the text itself. Words that would break this are not usable.
"""

from __future__ import annotations

import re
from enum import Enum

WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")
"""A word: letters and digits, with apostrophes inside."""


class Shape(Enum):
    """The case of a word."""

    LOWER = "film"
    TITLE = "Film"
    UPPER = "FILM"


def shape_of(word: str) -> Shape | None:
    """The word's case; None for any other (McDonald)."""
    for shape in Shape:
        if shaped(word.lower(), shape) == word:
            return shape
    return None


def shaped(word: str, shape: Shape) -> str:
    """A lower-case word in another case."""
    if shape is Shape.LOWER:
        return word
    return word.upper() if shape is Shape.UPPER else word[0].upper() + word[1:]


def usable(word: str) -> bool:
    """Whether it is one lower-case word that is found again, with its case, in each of the three cases.

    Not so for a single letter (A is both title and upper case), signs and blanks inside, and scripts without case.
    """
    if WORD.fullmatch(word) is None or word.lower() != word:
        return False
    forms = [(shape, shaped(word, shape)) for shape in Shape]
    return all(
        WORD.fullmatch(form) is not None and form.lower() == word and shape_of(form) is shape for shape, form in forms
    )
