"""The first combinations of sub-words that make one word, without going through those that cannot."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

_CHINESE = re.compile("[\u4e00-\u9fff]")


def first_words(places: Sequence[Sequence[str]], most: int, counted: Callable[[str], int]) -> list[str]:
    """The first `most` joined combinations of a token from each place that are one word, in the order of enumeration.

    Args:
        places: a list of tokens for each place; inside words they begin with "##", which is dropped.
        most: how many to return.
        counted: how many words a text has; more characters at its end never make that less, save in Chinese.
    """
    search = _Search(places, most, counted)
    search.go(0, "")
    return search.found


class _Search:
    """Goes through the places from left to right; `found` are the words."""

    def __init__(self, places: Sequence[Sequence[str]], most: int, counted: Callable[[str], int]) -> None:
        self._places = places
        self._most = most
        self._counted = counted
        self._barren: set[tuple[int, ...]] = set()
        chinese = [any(_CHINESE.search(token) for token in tokens) for tokens in places]
        self._chinese_from = [any(chinese[place:]) for place in range(len(places) + 1)]
        """Whether a token at this place or later is Chinese: then the whole text decides where words end."""
        self.found: list[str] = []

    def go(self, place: int, start: str) -> bool:
        """Adds the words that begin with these joined tokens; whether there was one or enough are found."""
        if len(self.found) >= self._most:
            return True
        text = start.replace("##", "")
        if place == len(self._places):
            if self._counted(text) != 1:
                return False
            self.found.append(text)
            return True
        state = None
        if not _CHINESE.search(start):
            state = self._state(place, start, text)
            if state[1] > 1 or state in self._barren:
                return False
        fruitful = [self.go(place + 1, start + token) for token in self._places[place]]
        if any(fruitful):
            return True
        if state is not None and not self._chinese_from[place]:
            self._barren.add(state)
        return False

    def _state(self, place: int, start: str, text: str) -> tuple[int, ...]:
        """All that matters of a start for what may follow: words, whether the last is open, half a "##"."""
        hashes = len(start) - len(start.rstrip("#"))
        return place, self._counted(text), self._counted(text + "x"), hashes % 2
