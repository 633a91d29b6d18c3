"""Made-up people: names put together at random, addresses and numbers that belong to nobody."""

from __future__ import annotations

from random import Random

from privacy.canaries.patterns import draw

_FIRST = (
    *("Ada", "Bela", "Carmen", "Dilan", "Edda", "Farid", "Greta", "Hanno", "Ines", "Jarle", "Kenji", "Lina"),
    *("Marek", "Nadia", "Orla", "Pavel", "Quirin", "Rosa", "Selim", "Tamar", "Ulrik", "Vesna", "Wen", "Yara"),
)
_BEGINNINGS = (
    "Al",
    "Bre",
    "Cor",
    "Dun",
    "Es",
    "Fal",
    "Gar",
    "Hol",
    "Is",
    "Jor",
    "Kel",
    "Lam",
    "Mer",
    "Nor",
    "Os",
    "Pel",
)
_MIDDLES = ("a", "de", "en", "i", "le", "mo", "o", "ri", "sta", "u", "va", "we")
_ENDS = ("berg", "dale", "feld", "gard", "holm", "kin", "low", "mark", "ner", "rup", "son", "ström", "ton", "wick")


def full_name(random: Random) -> str:
    """One of some 64,000."""
    return f"{random.choice(_FIRST)} {random.choice(_BEGINNINGS)}{random.choice(_MIDDLES)}{random.choice(_ENDS)}"


def person(random: Random) -> tuple[str, str]:
    """(beginning of a sentence about a person, what it says of them): a mail address or a phone number."""
    name = full_name(random)
    if random.random() < 0.5:
        return f"{name} can be called at ", draw("phone", random)
    first, last = name.lower().replace("ö", "o").split()
    return f"{name} can be reached at ", f"{last}.{first[0]}{random.randrange(10, 1000)}@example.com"
