"""What looks the same in every language: mail and network addresses, cards, accounts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_address

from privacy.scrub.recognise.checks import IBAN_LENGTHS, card, iban
from privacy.scrub.recognise.finder import Recogniser, by_pattern

_OCTET = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
_LETTERS = "A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u0300-\u03ff\u0400-\u04ff"
"""Latin with accents, Greek and Cyrillic: addresses may have them (RFC 6531). Chinese goes on around an address."""
_GROUPS = re.compile(r"(?<![\d.])(?<!\b0,)\d+(?:[ -]\d+)*(?!\.?\d)", re.ASCII)
"""A point makes a decimal of a number, and `0,` before it; any other comma divides a list."""
_CARD_SHAPES = frozenset(
    {(4, 4, 4, 4), (4, 4, 4, 4, 1), (4, 4, 4, 4, 2), (4, 4, 4, 4, 3), (4, 6, 5), (4, 6, 4), (6, 13)}
)
"""How cards are printed: by fours, American Express, Diners Club, UnionPay."""
_IBAN_START = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d\d", re.ASCII)


def _cards(text: str) -> Iterator[tuple[int, int]]:
    """Whole groups of digits only: a card inside a longer number is none."""
    for run in _GROUPS.finditer(text):
        groups = [(run.start() + part.start(), run.start() + part.end()) for part in re.finditer(r"\d+", run[0])]
        at = 0
        while at < len(groups):
            last = next(
                (last for last in range(min(at + 5, len(groups)), at, -1) if _is_card(text, groups[at:last])), 0
            )
            if last:
                yield groups[at][0], groups[last - 1][1]
            at = last or at + 1


def _is_card(text: str, groups: list[tuple[int, int]]) -> bool:
    shape = tuple(end - start for start, end in groups)
    return (len(shape) == 1 or shape in _CARD_SHAPES) and card("".join(text[start:end] for start, end in groups))


def _ibans(text: str) -> Iterator[tuple[int, int]]:
    for start in _IBAN_START.finditer(text):
        left = IBAN_LENGTHS.get(start[0][:2].upper(), 0)
        at, code = start.start(), ""
        while len(code) < left and at < len(text):
            letter = text[at]
            if letter.isascii() and letter.isalnum():
                code += letter
            elif letter not in " -":
                break
            at += 1
        if len(code) == left > 0 and not text[at : at + 1].isalnum() and iban(code.upper()):
            yield start.start(), at


def _public(value: str) -> bool:
    """Whether it is an address of somebody: 127.0.0.1 and the like are nobody's."""
    try:
        address = ip_address(value)
    except ValueError:
        return False
    return not (address.is_loopback or address.is_unspecified or value == "255.255.255.255")


COMMON = (
    by_pattern(
        "EMAIL",
        rf"(?<![{_LETTERS}0-9._%+-])[{_LETTERS}0-9_][{_LETTERS}0-9._%+-]{{0,63}}@"
        rf"(?:[{_LETTERS}0-9][{_LETTERS}0-9-]{{0,62}}\.){{1,10}}[{_LETTERS}]{{2,24}}(?![{_LETTERS}])",
        "form",
        needs="@",
    ),
    by_pattern("IP", rf"(?<![\w.])(?:{_OCTET}\.){{3}}{_OCTET}(?!\.?\d)", "form", check=_public, needs=r"\d\.\d"),
    by_pattern(
        "IP",
        r"(?<![\w:.])(?=[0-9A-Fa-f]*:[0-9A-Fa-f]*:)[0-9A-Fa-f:]{4,39}(?![\w:.])",
        "form",
        check=lambda value: sum(map(bool, value.split(":"))) >= 3 and _public(value),
        needs=":",
    ),
    Recogniser("CARD", frozenset(), "form and Luhn's check digit", _cards, r"\d{4}"),
    Recogniser("IBAN", frozenset(), "length by country and ISO 13616 check digits", _ibans, r"[A-Za-z]{2}\d\d"),
)
