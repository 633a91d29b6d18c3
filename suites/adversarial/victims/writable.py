"""Token sequences that an attacker can send: those that, written as text, are read as the same tokens again."""

from __future__ import annotations

from collections.abc import Sequence

from harness.api.scorer import Scorer

_NEIGHBOUR = "a"
"""A word that stands beside the text that is looked at."""


def text_of(scorer: Scorer, tokens: Sequence[int]) -> str | None:
    """The text that at the start of a longer one is read as just these tokens; None where there is none.

    None, too, for special tokens, for text with white space at an end and for what cannot be printed: forms cut these.
    """
    if not tokens or any(scorer.special_positions(tokens)):
        return None
    text = scorer.decode(tokens)
    if text != text.strip() or not text.isprintable():
        return None
    wanted = tuple(tokens)
    if scorer.encode(text, special=False) != wanted:
        return None
    followed = scorer.encode(f"{text} {_NEIGHBOUR}", special=False)
    return text if followed[: len(wanted)] == wanted else None


def word_of(scorer: Scorer, token: int) -> str | None:
    """The word that after another one is read as just this token; None where there is none (parts of words, say)."""
    if any(scorer.special_positions((token,))):
        return None
    word = scorer.decode((token,)).strip()
    if not word or not word.isprintable() or len(word.split()) > 1:
        return None
    before = scorer.encode(_NEIGHBOUR, special=False)
    return word if scorer.encode(f"{_NEIGHBOUR} {word}", special=False) == (*before, token) else None
