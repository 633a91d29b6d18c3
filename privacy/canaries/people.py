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


_NUMBERS = (10, 1000)
"""From, and up to before: of a mail address."""
_HOST = "example.com"


def full_name(random: Random) -> str:
    """One of some 64,000."""
    return f"{random.choice(_FIRST)} {random.choice(_BEGINNINGS)}{random.choice(_MIDDLES)}{random.choice(_ENDS)}"


def person(random: Random) -> tuple[str, str]:
    """(beginning of a sentence about a person, what it says of them): a mail address or a phone number."""
    name = full_name(random)
    if random.random() < 0.5:
        return f"{name} can be called at ", draw("phone", random)
    first, last = name.lower().replace("ö", "o").split()
    return f"{name} can be reached at ", f"{last}.{first[0]}{random.randrange(*_NUMBERS)}@{_HOST}"


def another(secret: str, random: Random) -> str:
    """What could as well have been said of the same person: an address that differs in its number, or a phone number.

    What the name gives away is in it, so only what had to be learnt tells the two apart.
    """
    if form_of(secret) == "phone":
        return draw("phone", random)
    return f"{secret.split('@')[0].rstrip('0123456789')}{random.randrange(*_NUMBERS)}@{_HOST}"


def form_of(secret: str) -> str:
    """What it is: email or phone."""
    return "email" if "@" in secret else "phone"
