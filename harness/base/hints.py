"""Did you mean: the known word that is most like one that is not known."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def closest(word: str, known: Iterable[str], cutoff: float = 0.5) -> str | None:
    """The known word most like `word`; None where none shares `cutoff` of its letters.

    Half of them: `sentance` finds `sentence`, and two names that only end alike do not meet.
    """
    return next(iter(difflib.get_close_matches(word, sorted(set(known)), 1, cutoff=cutoff)), None)


def did_you_mean(word: str, known: Iterable[str], before: str = "; ") -> str:
    """`; did you mean 'sentence'?`, or nothing."""
    close = closest(word, known)
    return f"{before}did you mean {close!r}?" if close else ""
