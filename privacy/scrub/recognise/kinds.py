"""Kinds of personal data, and what stands in a text where one was."""

from __future__ import annotations

import re

KINDS = ("ID_CARD", "CARD", "IBAN", "SSN", "EMAIL", "IP", "PHONE", "NAME")
"""Where two overlap the first counts: those with check digits before those of form alone."""
TAG_DIGITS = 12
"""Hexadecimal digits of a pseudonym: among a million values two meet with a chance of 0.2 %."""
PLACEHOLDER = re.compile(rf"<(?:{'|'.join(KINDS)})(?:-[0-9a-f]{{{TAG_DIGITS}}})?>")


def placeholder(kind: str, tag: str = "") -> str:
    """What replaces a value: its kind alone, or with a tag that is the same wherever the value is."""
    return f"<{kind}-{tag}>" if tag else f"<{kind}>"
