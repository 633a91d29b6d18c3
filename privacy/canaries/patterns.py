"""Secrets of a format: drawn at random, counted, and listed where there are few enough."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from random import Random

from privacy.scrub.recognise.checks import TEST_CARD, luhn_digit

FORMATS = {"card": f"{TEST_CARD} #### #### ####", "phone": "555 01## ####", "key": "*" * 32}
"""Cards have a valid check digit (ISO/IEC 7812, Luhn) and no issuer's first digits; 555-01 numbers belong to nobody."""
_ALPHABETS = {"#": "0123456789", "@": "abcdefghijklmnopqrstuvwxyz", "*": "0123456789abcdef"}
_MOST_BITS = 1024


def check_pattern(pattern: str) -> None:
    """Raises ValueError for a pattern in which nothing is drawn, or too much."""
    if not any(letter in _ALPHABETS for letter in _written(pattern)):
        raise ValueError(
            f"pattern: {pattern!r} has nothing to draw; use {', '.join(FORMATS)}, or # for a digit, @ for a letter and "
            "* for a hex digit"
        )
    if space(pattern) > 2**_MOST_BITS:
        raise ValueError(f"pattern: has more than 2^{_MOST_BITS} secrets; shorten it")


def space(pattern: str) -> int:
    """How many secrets there are."""
    drawn = math.prod(len(_ALPHABETS.get(letter, ".")) for letter in _written(pattern))
    return drawn // 10 if pattern == "card" else drawn  # the last digit checks the others


def draw(pattern: str, random: Random) -> str:
    """One of them, each as likely as any other."""
    text = "".join(
        random.choice(_ALPHABETS[letter]) if letter in _ALPHABETS else letter for letter in _written(pattern)
    )
    return _checked(text) if pattern == "card" else text


def every(pattern: str) -> Iterator[str]:
    """All of them, in order."""
    choices = [_ALPHABETS.get(letter, letter) for letter in _written(pattern)]
    if pattern == "card":
        choices[-1] = "0"
    for letters in itertools.product(*choices):
        yield _checked("".join(letters)) if pattern == "card" else "".join(letters)


def fits(pattern: str, text: str) -> bool:
    """Whether `text` is one of them."""
    written = _written(pattern)
    if len(text) != len(written):
        return False
    pairs = zip(written, text, strict=True)
    return all(letter in _ALPHABETS.get(place, place) for place, letter in pairs) and (
        pattern != "card" or _checked(text) == text
    )


def _written(pattern: str) -> str:
    return FORMATS.get(pattern, pattern)


def _checked(card: str) -> str:
    """With the last digit that Luhn's sum asks for."""
    return card[:-1] + luhn_digit("".join(letter for letter in card[:-1] if letter.isdigit()))
