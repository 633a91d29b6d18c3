"""A text without its personal data: placeholders of a kind, or pseudonyms that are the same wherever a value is."""

from __future__ import annotations

import hmac
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256

from privacy.scrub.recognise import Finder, Found, placeholder
from privacy.scrub.recognise.finder import as_read
from privacy.scrub.recognise.kinds import TAG_DIGITS

Name = Callable[[str, str], str]
"""What replaces a value: (kind, value) to text."""


@dataclass(slots=True)
class Replaced:
    """What was taken out of some texts."""

    places: Counter[str] = field(default_factory=Counter)
    """By kind."""
    values: dict[str, set[bytes]] = field(default_factory=dict)
    """Digests of the different values of each kind, with a key that is thrown away."""

    def add(self, kind: str, digest: bytes) -> None:
        """One place."""
        self.places[kind] += 1
        self.values.setdefault(kind, set()).add(digest)


def by_kind(kind: str, value: str) -> str:
    """`<EMAIL>`, whatever the value."""
    return placeholder(kind)


class Pseudonyms:
    """`<EMAIL-0123456789ab>`: keyed, so whoever lacks the key can neither undo nor test a guess."""

    def __init__(self, key: bytes, *, remember: bool) -> None:
        """`remember`: keep the values, for a mapping back."""
        self._key, self._remember = key, remember
        self.values: dict[str, str] = {}
        """Value of each pseudonym, as it was first met."""

    def __call__(self, kind: str, value: str) -> str:
        """The pseudonym of a value."""
        tag = hmac.digest(self._key, f"{kind}\0{_one_spelling(kind, value)}".encode(errors="surrogatepass"), sha256)
        name = placeholder(kind, tag.hex()[:TAG_DIGITS])
        if self._remember:
            self.values.setdefault(name, value)
        return name


def scrubbed(text: str, finder: Finder, name: Name, seen: Callable[[str, str], None]) -> str:
    """`text` with every value replaced, again until nothing is found: so scrubbing twice changes nothing more.

    What stands beside a value may read as another once that is gone. Every round makes the rest shorter, so it ends.

    Args:
        text: to be scrubbed.
        finder: finds the values.
        name: of what replaces them.
        seen: called with kind and value of each.
    """
    while found := finder.find(text):
        text = _once(text, found, name, seen)
    return text


def _once(text: str, found: list[Found], name: Name, seen: Callable[[str, str], None]) -> str:
    parts, at = [], 0
    for one in found:
        value = text[one.start : one.end]
        seen(one.kind, value)
        parts += [text[at : one.start], name(one.kind, value)]
        at = one.end
    return "".join([*parts, text[at:]])


def _one_spelling(kind: str, value: str) -> str:
    """Numbers without what they are divided by, words without case: one person's value gets one pseudonym."""
    value = value if value.isascii() else as_read(value)
    if kind in ("CARD", "PHONE", "IBAN", "SSN", "ID_CARD"):
        return "".join(
            str(int(letter)) if letter.isdecimal() else letter for letter in value.upper() if letter.isalnum()
        )
    return " ".join(value.casefold().split())
