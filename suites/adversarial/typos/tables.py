"""What a slip of the finger, a bad scan or a look-alike makes of a character. Assay's own tables, for English text.

Small on purpose: each entry is a confusion that a reader would overlook or undo without thinking.
"""

from __future__ import annotations

from collections.abc import Mapping

_ROWS = (("qwertyuiop", 0.0), ("asdfghjkl", 0.25), ("zxcvbnm", 0.75))
"""Rows of letters of a US keyboard, each with how far its first key stands to the right, in key widths."""

_SCANS = (
    "0 o, 0 O, 1 l, 1 I, 2 Z, 5 S, 8 B, 6 b, 9 g, l I, i l, t f, c e, h b, n u, v y, O Q, C G, E F, "
    "rn m, cl d, vv w, ii u, li h, nn m"
)
"""Shapes that scans confuse, either way."""

_LOOK_ALIKES = {
    "acdehijlopqswxy": "\u0430\u0441\u0501\u0435\u04bb\u0456\u0458\u04cf\u043e\u0440\u051b\u0455\u051d\u0445\u0443",
    "ABCEHIJKMOPSTX": "\u0410\u0412\u0421\u0415\u041d\u0406\u0408\u041a\u041c\u041e\u0420\u0405\u0422\u0425",
    "vuNYZ": "\u03bd\u03c5\u039d\u03a5\u0396",
    "g": "\u0261",
}
"""Latin letters and their twins: Cyrillic small and capital, Greek, and the script g of phonetics."""

ZERO_WIDTH = ("\u200b", "\u200c", "\u200d")
"""Zero-width space, non-joiner and joiner: characters no reader sees."""

MARKS = ",.;:"
"""Punctuation that a typist leaves out or adds; '!' and '?' would change the tone."""


def _keyboard() -> dict[str, tuple[str, ...]]:
    """Keys that touch each key: beside it, or less than a key's width aside in the next row."""
    place = {key: (row, shift + at) for row, (keys, shift) in enumerate(_ROWS) for at, key in enumerate(keys)}

    def touch(one: str, other: str) -> bool:
        (row, x), (next_row, next_x) = place[one], place[other]
        reach = 1.0 if row == next_row else 0.99
        return one != other and abs(row - next_row) <= 1 and abs(x - next_x) <= reach

    return {key: tuple(other for other in place if touch(key, other)) for key in place}


def _both_ways(pairs: str) -> dict[str, tuple[str, ...]]:
    """'a b, a c' as a -> (b, c), b -> (a,), c -> (a,)."""
    found: dict[str, list[str]] = {}
    for one, other in (pair.split() for pair in pairs.split(", ")):
        found.setdefault(one, []).append(other)
        found.setdefault(other, []).append(one)
    return {shape: tuple(others) for shape, others in found.items()}


KEYBOARD: Mapping[str, tuple[str, ...]] = _keyboard()
"""Small letter -> the letters whose keys touch its key, on a US (QWERTY) keyboard."""
OCR: Mapping[str, tuple[str, ...]] = _both_ways(_SCANS)
"""One or two characters -> what a scan may take them for."""
HOMOGLYPHS: Mapping[str, str] = {
    letter: twin for letters, twins in _LOOK_ALIKES.items() for letter, twin in zip(letters, twins, strict=True)
}
"""Latin letter -> a character of another alphabet that looks the same; no two letters share one."""
