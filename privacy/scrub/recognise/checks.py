"""Check digits and dates that tell a number of a kind from any other number."""

from __future__ import annotations

from datetime import date
from itertools import cycle

_PROVINCES = frozenset(
    {
        *("11", "12", "13", "14", "15", "21", "22", "23", "31", "32", "33", "34", "35", "36", "37", "41", "42", "43"),
        *("44", "45", "46", "50", "51", "52", "53", "54", "61", "62", "63", "64", "65", "71", "81", "82", "83", "91"),
    }
)
"""GB/T 2260, and the codes of residence permits."""
TEST_REGION = "99"
"""Begins no region of GB/T 2260: made-up identity numbers have it, and are found like real ones."""
TEST_CARD = "9999"
"""ISO/IEC 7812 leaves 9 to national bodies by ISO 3166 country, and 999 is no country: no card begins so."""
_WEIGHTS = tuple(pow(2, 17 - place, 11) for place in range(17))
IBAN_LENGTHS = {
    **{"AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BR": 29, "BY": 28},
    **{"CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "DO": 28, "EE": 20, "EG": 29, "ES": 24, "FI": 18},
    **{"FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28, "HR": 21, "HU": 28, "IE": 22},
    **{"IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LC": 32, "LI": 21, "LT": 20},
    **{"LU": 20, "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MR": 27, "MT": 31, "MU": 30, "NL": 18},
    **{"NO": 15, "PK": 24, "PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22, "SA": 24, "SC": 31, "SE": 24},
    **{"SI": 19, "SK": 24, "SM": 27, "ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24},
    **{"XK": 20},
}
"""Characters by country: the IBAN registry of SWIFT."""


def luhn(digits: str) -> bool:
    """Whether the last digit checks the others (ISO/IEC 7812-1, annex B)."""
    total = sum(
        sum(divmod(int(digit) * weight, 10)) for digit, weight in zip(reversed(digits), cycle((1, 2)), strict=False)
    )
    return total % 10 == 0


def luhn_digit(digits: str) -> str:
    """The digit that makes `luhn` true when it is put behind."""
    return next(last for last in "0123456789" if luhn(digits + last))


def card(digits: str) -> bool:
    """Whether digits may be a payment card's: 13 to 19, of a major network or a bank, with Luhn's check digit."""
    if not 13 <= len(digits) <= 19 or len(set(digits)) < 2:
        return False
    issued = digits[0] in "3456" or "2221" <= digits[:4] <= "2720" or digits.startswith(TEST_CARD)
    return issued and luhn(digits)


def iban(code: str) -> bool:
    """Whether 97 divides it with one left over (ISO 13616), and its country's length is right."""
    if IBAN_LENGTHS.get(code[:2]) != len(code):
        return False
    return int("".join(str(int(letter, 36)) for letter in code[4:] + code[:4])) % 97 == 1


def chinese_id(code: str) -> bool:
    """Whether 18 characters are a resident's number: region, birthday, check digit (GB 11643, ISO 7064 MOD 11-2)."""
    return _region(code) and _day(code[6:14]) and chinese_id_digit(code[:17]) == code[17].upper()


def old_chinese_id(code: str) -> bool:
    """Whether 15 digits may be a number of before 1999, which has no check digit."""
    return _region(code) and _day(f"19{code[6:12]}")


def chinese_id_digit(digits: str) -> str:
    """The check digit of 17 digits."""
    total = sum(int(digit) * weight for digit, weight in zip(digits, _WEIGHTS, strict=True))
    return "10X98765432"[total % 11]


def _region(code: str) -> bool:
    return code[:2] in _PROVINCES or code[:2] == TEST_REGION


def _day(digits: str) -> bool:
    try:
        born = date(int(digits[:4]), int(digits[4:6]), int(digits[6:8]))
    except ValueError:
        return False
    return 1900 <= born.year < 2100
