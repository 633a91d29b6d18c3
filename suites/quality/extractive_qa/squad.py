"""Exact match and F1 as SQuAD defines them (Rajpurkar et al. 2016, 2018; the second task's evaluation script)."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalized(text: str) -> str:
    """Lower case, ASCII punctuation and the English articles taken out, one blank between words."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact(answer: str, gold: str) -> float:
    """1 where both are the same once normalised."""
    return float(normalized(answer) == normalized(gold))


def f1(answer: str, gold: str) -> float:
    """F1 of the words of both, each counted as often as it comes; with no word on one side: whether both have none."""
    mine, theirs = normalized(answer).split(), normalized(gold).split()
    if not mine or not theirs:
        return float(mine == theirs)
    same = sum((Counter(mine) & Counter(theirs)).values())
    return 2 * same / (len(mine) + len(theirs))


def best(score: Callable[[str, str], float], answer: str, golds: Sequence[str]) -> float:
    """The most of any gold answer that has a word; '' is the answer where there is none."""
    return max(score(answer, gold) for gold in [gold for gold in golds if normalized(gold)] or [""])
