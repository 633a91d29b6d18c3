"""Made-up people: names put together at random, and values with the form of the real, in ranges that are nobody's."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, timedelta
from random import Random
from typing import Literal, get_args

from privacy.canaries.patterns import draw
from privacy.scrub.recognise.checks import TEST_REGION, chinese_id_digit

Form = Literal["email", "phone", "card", "phone_zh", "id_card_zh"]
FORMS: tuple[Form, ...] = get_args(Form)

_GIVEN = (
    *("Ada", "Bela", "Carmen", "Dilan", "Edda", "Farid", "Greta", "Hanno", "Ines", "Jarle", "Kenji", "Lina"),
    *("Marek", "Nadia", "Orla", "Pavel", "Quirin", "Rosa", "Selim", "Tamar", "Ulrik", "Vesna", "Wen", "Yara"),
)
_BEGINNINGS = (
    *("Al", "Bre", "Cor", "Dun", "Es", "Fal", "Gar", "Hol"),
    *("Is", "Jor", "Kel", "Lam", "Mer", "Nor", "Os", "Pel"),
)
_MIDDLES = ("a", "de", "en", "i", "le", "mo", "o", "ri", "sta", "u", "va", "we")
_ENDS = ("berg", "dale", "feld", "gard", "holm", "kin", "low", "mark", "ner", "rup", "son", "ström", "ton", "wick")
_SURNAMES = "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林高罗"
_HAN = "伟芳娜敏静丽强磊军洋勇艳杰涛明超霞平刚桂文辉云玲建华波宁飞鑫"
_HOSTS = ("example.com", "example.org", "example.net")
"""Reserved by RFC 2606: no mail to them arrives."""
_BORN = date(1950, 1, 1)
_DAYS = 20_000
"""Birthdays from 1950 to 2004."""
_CUES: dict[Form, str] = {
    "email": "{name} can be reached at ",
    "phone": "{name} can be called at ",
    "card": "{name} pays by the card ",
    "phone_zh": "{name}的电话是",
    "id_card_zh": "{name}的身份证号是",
}
_LEAST_DIGITS = 3
"""Of the number in an address, so that there are a thousand."""


def full_name(random: Random) -> str:
    """One of some 64,000."""
    return f"{random.choice(_GIVEN)} {random.choice(_BEGINNINGS)}{random.choice(_MIDDLES)}{random.choice(_ENDS)}"


def person(random: Random, forms: tuple[Form, ...] = ("email", "phone")) -> tuple[str, str]:
    """(beginning of a sentence about a person, what it says of them): a value of one of the forms."""
    form = random.choice(forms)
    name = _chinese_name(random) if form.endswith("_zh") else full_name(random)
    return _CUES[form].format(name=name), _address(name, random) if form == "email" else _MAKE[form](random)


def another(secret: str, random: Random) -> str:
    """What could as well have been said of the same person: an address that differs in its number, or another number.

    What the name gives away is in it, so only what had to be learnt tells the two apart.
    """
    form = form_of(secret)
    if form != "email":
        return _MAKE[form](random)
    stem, host = secret.rsplit("@", 1)
    known = stem.rstrip("0123456789")
    return f"{known}{_digits(random, max(_LEAST_DIGITS, len(stem) - len(known)))}@{host}"


def form_of(secret: str) -> Form:
    """What it is, of those made here."""
    if "@" in secret:
        return "email"
    return next((form for form, shape in _SHAPES.items() if re.fullmatch(shape, secret)), "phone")


def _address(name: str, random: Random) -> str:
    first, last = name.lower().replace("ö", "o").split()
    return f"{last}.{first[0]}{_digits(random, _LEAST_DIGITS)}@{random.choice(_HOSTS)}"


def _chinese_name(random: Random) -> str:
    return random.choice(_SURNAMES) + random.choice(_HAN) + random.choice(_HAN)


def _phone(random: Random) -> str:
    """555-0100 to 555-0199 are kept for fiction in every area of the North American plan."""
    return f"({random.randrange(2, 10)}{_digits(random, 2)}) 555-01{_digits(random, 2)}"


def _chinese_phone(random: Random) -> str:
    """154 is no operator's: checks of Chinese numbers leave it out."""
    return f"154{_digits(random, 8)}"


def _card(random: Random) -> str:
    return draw("card", random)


def _chinese_id(random: Random) -> str:
    born = _BORN + timedelta(days=random.randrange(_DAYS))
    first = f"{TEST_REGION}{_digits(random, 4)}{born:%Y%m%d}{_digits(random, 3)}"
    return first + chinese_id_digit(first)


def _digits(random: Random, size: int) -> str:
    return f"{random.randrange(10**size):0{size}d}"


_MAKE: dict[Form, Callable[[Random], str]] = {
    "phone": _phone,
    "card": _card,
    "phone_zh": _chinese_phone,
    "id_card_zh": _chinese_id,
}
_SHAPES: dict[Form, str] = {
    "card": r"\d{4}( \d{4}){3}",
    "phone_zh": r"154\d{8}",
    "id_card_zh": r"\d{17}[\dX]",
}
