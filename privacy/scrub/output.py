"""Filters what a model writes, by the recognisers that scrub training data: text in, text out, whole or as it comes.

A text is filtered line by line, and a line that is very long piece by piece. The same rule holds for a stream, so a
stream gives what the whole text gives, however it is cut: nothing is let go before its line, or its piece, is whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from privacy.scrub.recognise import Finder
from privacy.scrub.replace import Name, by_kind, scrubbed

PIECE = 2000
"""Characters that a line is held back at most, a page; what is found is far shorter (a mail address at most 320)."""
_TAIL = 400
"""Characters at the end of a piece in which a good place to cut is looked for."""


@dataclass(frozen=True, slots=True)
class Filtered:
    """A text that may be shown."""

    text: str
    found: Counter[str] = field(default_factory=Counter)
    """Values that were taken out, by kind."""


@dataclass(frozen=True, slots=True)
class OutputFilter:
    """Replaces personal data in generated text. Pure: holds no state between texts."""

    finder: Finder
    name: Name = by_kind
    """Of what replaces a value."""

    def __call__(self, text: str) -> Filtered:
        """The text without what is found in it."""
        found: Counter[str] = Counter()
        return Filtered("".join(self.stream([text], found)), found)

    def stream(self, pieces: Iterable[str], found: Counter[str] | None = None) -> Iterator[str]:
        """The same of a text that comes in pieces, as soon as it can be told.

        Args:
            pieces: the text, cut anywhere.
            found: counts what is taken out, by kind.
        """
        counts = Counter[str]() if found is None else found

        def seen(kind: str, value: str) -> None:
            counts[kind] += 1

        waiting = ""
        for piece in pieces:
            waiting += piece
            while end := _end(waiting):
                yield scrubbed(waiting[:end], self.finder, self.name, seen)
                waiting = waiting[end:]
        if waiting:
            yield scrubbed(waiting, self.finder, self.name, seen)


def _end(text: str) -> int:
    """Characters of the first line, or of the first piece of a long one; 0 where more has to come."""
    line = text.find("\n", 0, PIECE) + 1
    if line or len(text) < PIECE:
        return line
    for at in range(PIECE - 2, PIECE - _TAIL, -1):  # between two words neither of which is a number or a name
        before, after = text[at - 1], text[at]
        if after.isspace() and not before.isdigit() and not before.isspace() and not _begins_value(text[at + 1]):
            return at
    return PIECE


def _begins_value(letter: str) -> bool:
    return letter.isdigit() or letter.isupper() or letter in "+("
