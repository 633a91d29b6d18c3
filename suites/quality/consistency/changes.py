"""Changes of a text's form that leave its meaning: case, punctuation, white space."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Literal

Change = Literal["lower case", "upper case", "final mark", "double blanks", "outer blanks", "parts", "choices"]
OF_TEXT: Mapping[Change, Callable[[str], str]] = {
    "lower case": str.lower,
    "upper case": str.upper,
    "final mark": lambda text: _without_final(text),
    "double blanks": lambda text: re.sub(r"(?<=\S) (?=\S)", "  ", text),
    "outer blanks": lambda text: f" {text} ",
}
"""Changes of the text itself. Those of a prompt (`parts`, `choices`) are orders of what stands around it."""
OF_PROMPT: tuple[Change, ...] = ("parts", "choices")
CHANGES: tuple[Change, ...] = (*OF_TEXT, *OF_PROMPT)
_FINAL = ".!?"


def _without_final(text: str) -> str:
    """Without the marks that end it; with a full stop where none does."""
    bare = text.rstrip()
    return bare.rstrip(_FINAL) or text if bare[-1:] in _FINAL and bare else f"{bare}."


def changed(text: str, change: Change) -> str:
    """`text` in another form; as it is where the change does not apply or is one of the prompt."""
    make = OF_TEXT.get(change)
    return text if make is None else make(text)
