"""The first words of a text, in any script, so that work is bounded whatever a text is written in."""

from __future__ import annotations

import re

LONGEST = 64
"""Characters that count as one word: longer runs without a blank are no words (addresses, codes, a wall of letters)."""
_UNSPACED = (
    "\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao; Tibetan; Myanmar; Khmer
    "\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f"  # kana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
)
_WORD = re.compile(rf"[{_UNSPACED}][^\w\s]{{0,3}}|[^\s{_UNSPACED}]{{1,{LONGEST}}}")
"""Words stand between blanks; a character of a script written without blanks counts as one, with its punctuation."""


def first_words(text: str, most: int | None) -> tuple[str, int]:
    """The text up to the end of its `most`-th word, its spacing kept, and how many words that cuts off."""
    if most is None:
        return text, 0
    end, words = len(text), 0
    for found in _WORD.finditer(text):
        words += 1
        if words == most:
            end = found.end()
    return text[:end], max(0, words - most)
