"""English text: American numbers, international phones, names behind a title or a cue."""

from __future__ import annotations

import re

from privacy.scrub.recognise.finder import by_pattern

_EN = ("en",)
_NAME = r"[A-Z][a-z]+(?:[-'’][A-Z][a-z]+)?"


def _dialled(value: str) -> bool:
    """Whether it has as many digits as a number of ITU-T E.164, or a local one."""
    return 7 <= sum(letter.isdigit() for letter in value) <= 15


ENGLISH = (
    by_pattern(
        "SSN",  # 000 and 666 are never given; 9xx are taxpayers' numbers of the same form
        r"(?<![\d-])(?!000|666)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\d-])",
        "form without the groups that are never given",
        languages=_EN,
        needs=r"\d-",
        flags=re.ASCII,
    ),
    by_pattern(
        "PHONE",
        r"(?<![\d.-])(?:\+?1[ .-]?)?(?:\([2-9]\d{2}\)[ .-]?|[2-9]\d{2}[ .-])[2-9]\d{2}[ .-]\d{4}(?![\d-])",
        "form (North America)",
        languages=_EN,
        needs=r"\d",
        flags=re.ASCII,
    ),
    by_pattern(
        "PHONE",
        r"(?<![\w+])\+\d{1,3}[ .-]?(?:\(\d{1,4}\)[ .-]?)?\d{1,5}(?:[ .-]?\d{2,5}){1,4}(?!\d)",
        "form (international)",
        check=lambda value: 8 <= sum(letter.isdigit() for letter in value) <= 15,
        languages=_EN,
        needs=r"\+\d",
        flags=re.ASCII,
    ),
    by_pattern(
        "PHONE",
        r"\b(?:phone|telephone|tel|fax|mobile|cell|whatsapp|call(?:ed)?)\b(?: (?:number|no|at|on|me|us|is|him|her))*"
        r"[ .:#]{1,3}(?P<value>\+?\(?\d[\d ().-]{4,18}\d)(?!\d)",
        "a number behind a cue",
        check=_dialled,
        languages=_EN,
        needs=r"\d",
        flags=re.ASCII | re.IGNORECASE,
    ),
    by_pattern(
        "NAME",
        rf"\b(?:Mr|Mrs|Ms|Miss|Dr|Prof)\b\.?[ ](?P<value>{_NAME}(?:[ ](?:[A-Z]\.[ ])?{_NAME})?)",
        "behind a title",
        languages=_EN,
        needs="M|Dr|Prof",
    ),
    by_pattern(
        "NAME",
        rf"\b(?:[Mm]y name is|[Nn]ame:|[Ss]igned by)[ ](?P<value>{_NAME}(?:[ ](?:[A-Z]\.[ ])?{_NAME}){{0,2}})",
        "behind a cue",
        languages=_EN,
        needs="ame|igned",
    ),
)
