"""What texts show by themselves: how often they repeat, and how different several of them are. Words between blanks."""

from __future__ import annotations

from collections.abc import Sequence

DISTINCT = (1, 2, 3)
REPEATED = 4

Ngram = tuple[str, ...]


def ngrams(text: str, n: int) -> list[Ngram]:
    """Runs of n words, in order."""
    words = text.split()
    return [tuple(words[at : at + n]) for at in range(len(words) - n + 1)]


def distinct(texts: Sequence[str], n: int) -> tuple[int, int]:
    """Different n-grams, and all, of some texts together (Li et al. 2016)."""
    found = [gram for text in texts for gram in ngrams(text, n)]
    return len(set(found)), len(found)


def repeated(texts: Sequence[str], n: int = REPEATED) -> tuple[int, int]:
    """n-grams that came before in the same text, and all, summed over texts (seq-rep-n of Welleck et al. 2020)."""
    each = [ngrams(text, n) for text in texts]
    return sum(len(found) - len(set(found)) for found in each), sum(map(len, each))
