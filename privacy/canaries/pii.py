"""Made-up personal data to be planted: the form and check digits of the real, in ranges that are nobody's.

The same seed gives the same values on every machine and every Python: they come from SHA-256, no generator.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from hashlib import sha256

from harness.errors import UsageError
from privacy.scrub.recognise.checks import TEST_CARD, TEST_REGION, chinese_id_digit, luhn_digit

_GIVEN = ("Ada", "Boris", "Clara", "Dmitri", "Elena", "Felix", "Greta", "Hugo", "Irene", "Jonas", "Karin", "Leon")
_FAMILY = (
    "Abbott",
    "Brandt",
    "Castle",
    "Dorsey",
    "Ellery",
    "Fenwick",
    "Garner",
    "Hollis",
    "Ingram",
    "Jarvis",
    "Keller",
)
_INITIALS = "ABCDEFGHJKLMNPRSTW"
_SURNAMES = "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林高罗"
_HAN = "伟芳娜敏静丽强磊军洋勇艳杰涛明超霞平刚桂文辉云玲建华波宁飞鑫"
_HOSTS = ("example.com", "example.org", "example.net")
"""Reserved by RFC 2606: no mail to them arrives."""
_BORN = date(1950, 1, 1)
_DAYS = 20_000
"""Birthdays from 1950 to 2004."""
_MOST_TRIES = 1000
"""For a value that is not there yet; where so many meet others the range is nearly used up."""


class _Draw:
    """Whole numbers from a seed."""

    def __init__(self, *seed: object) -> None:
        self._rest = int.from_bytes(sha256("\0".join(map(str, seed)).encode()).digest())

    def below(self, most: int) -> int:
        """One of 0 to `most` - 1; of 256 bits so few are taken that none is favoured by more than 2^-100."""
        self._rest, found = divmod(self._rest, most)
        return found

    def of(self, choices: tuple[str, ...] | str) -> str:
        """One of them."""
        return choices[self.below(len(choices))]

    def digits(self, size: int) -> str:
        """So many digits."""
        return f"{self.below(10**size):0{size}d}"


def _name(draw: _Draw) -> str:
    return f"{draw.of(_GIVEN)} {draw.of(_INITIALS)}. {draw.of(_FAMILY)}"


def _chinese_name(draw: _Draw) -> str:
    return draw.of(_SURNAMES) + draw.of(_HAN) + draw.of(_HAN)


def _email(draw: _Draw) -> str:
    return f"{draw.of(_GIVEN)}.{draw.of(_FAMILY)}{draw.digits(4)}@{draw.of(_HOSTS)}".lower()


def _phone(draw: _Draw) -> str:
    """555-0100 to 555-0199 are kept for fiction in every area of the North American plan."""
    return f"({draw.below(8) + 2}{draw.digits(2)}) 555-01{draw.digits(2)}"


def _chinese_phone(draw: _Draw) -> str:
    """154 is no operator's: checks of Chinese numbers leave it out."""
    return f"154{draw.digits(8)}"


def _card(draw: _Draw) -> str:
    first = TEST_CARD + draw.digits(11)
    number = first + luhn_digit(first)
    return " ".join(number[at : at + 4] for at in range(0, 16, 4))


def _chinese_id(draw: _Draw) -> str:
    born = _BORN + timedelta(days=draw.below(_DAYS))
    first = f"{TEST_REGION}{draw.digits(4)}{born:%Y%m%d}{draw.digits(3)}"
    return first + chinese_id_digit(first)


PII: dict[str, Callable[[_Draw], str]] = {
    "name": _name,
    "name_zh": _chinese_name,
    "email": _email,
    "phone": _phone,
    "phone_zh": _chinese_phone,
    "card": _card,
    "id_card_zh": _chinese_id,
}
"""Kinds that can be made."""


def fake_pii(kind: str, count: int, seed: int) -> list[str]:
    """`count` different values of a kind of PII, those of a smaller count first.

    Raises UsageError for another kind, or more values than there are.
    """
    if kind not in PII:
        raise UsageError(f"fake personal data: no kind {kind[:40]!r}; choose one of {', '.join(PII)}")
    found: dict[str, None] = {}
    tries = 0
    while len(found) < count:
        before = len(found)
        found.setdefault(PII[kind](_Draw("assay", seed, kind, len(found), tries)))
        tries = 0 if len(found) > before else tries + 1
        if tries > _MOST_TRIES:
            raise UsageError(f"fake personal data: {kind}: there are hardly more than {before:,}; ask for fewer")
    return list(found)
