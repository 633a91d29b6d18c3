"""Which entities a sequence of tags spells, read as conlleval reads it and by the letter of a scheme.

Both are seqeval's (1.2.2), its default mode and its strict one; the tests hold them against it. It is no dependency, as
its source distribution, the only one there is, does not build with the setuptools_scm of today.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

Entity = tuple[str, int, int]
"""Type, first word and last word."""
OUTSIDE = "O"
_CONTINUES, _ENDS_SOON = frozenset("IE"), frozenset("BI")
_AS_IOBES = {"L": "E", "U": "S"}


class Scheme(StrEnum):
    """How tags mark the words of an entity."""

    IOB2 = "IOB2"
    IOBES = "IOBES"
    BILOU = "BILOU"


@dataclass(frozen=True, slots=True)
class Tag:
    """What a tag says: the place in the entity (B, I, E, S; O outside) and the type, '_' where it names none."""

    place: str
    kind: str


def read_tag(tag: str) -> Tag | None:
    """The parts of a tag such as O, B-PER or I; L and U of BILOU are E and S. None where it is no such tag."""
    place, sign, kind = tag.partition("-")
    place = _AS_IOBES.get(place, place)
    if place not in ("O", "B", "I", "E", "S") or (sign and not kind) or (place == OUTSIDE and kind):
        return None
    return Tag(place, kind or "_")


def entities(tags: Sequence[Tag]) -> set[Entity]:
    """Entities as conlleval (Tjong Kim Sang & Buchholz 2000) reads them: an I that nothing began begins one."""
    found: set[Entity] = set()
    start = None
    before = Tag(OUTSIDE, "_")
    for at, tag in enumerate([*tags, Tag(OUTSIDE, "_")]):
        goes_on = before.place in _ENDS_SOON and tag.place in _CONTINUES and tag.kind == before.kind
        if start is not None and not goes_on:
            found.add((before.kind, start, at - 1))
            start = None
        if tag.place != OUTSIDE and not goes_on:
            start = at
        before = tag
    return found


def strict_entities(tags: Sequence[Tag], scheme: Scheme) -> set[Entity]:
    """Entities that are written as the scheme says, no others: begun by a B, or S alone; ended by an E but in IOB2."""
    found: set[Entity] = set()
    at = 0
    while at < len(tags):
        tag = tags[at]
        end = at + 1
        if tag.place == "S" and scheme is not Scheme.IOB2:
            found.add((tag.kind, at, at))
        elif tag.place == "B":
            while end < len(tags) and tags[end] == Tag("I", tag.kind):
                end += 1
            if scheme is Scheme.IOB2:
                found.add((tag.kind, at, end - 1))
            elif end < len(tags) and tags[end] == Tag("E", tag.kind):
                found.add((tag.kind, at, end))
        at = end
    return found
