"""Text for a terminal and for a log that a CI runner reads along: it steers neither.

`clean` is for text from outside (names, labels, messages of libraries), `inert` for finished lines, whatever made them.
"""

from __future__ import annotations

import re
import unicodedata

_DIRECTIONAL = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that reorder the text around them: a data set must not be able to rearrange a report."""
LONGEST = 20_000
"""Characters of one text that are shown: a screenful of the widest terminal, far above any sentence of Assay's."""
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f]"
)
"""Controls, marks of direction, other line ends, halves of characters, and characters that only hide."""
_COMMAND = re.compile(r"##(?=\w{0,20}\[)|section_(?:start|end):|travis_(?:fold|time):")
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_BREAK = "\u200b"


def clean(text: str, longest: int = LONGEST) -> str:
    r"""`text` with what steers a terminal written out, e.g. \x1b, and cut where it is too long to be read."""
    left_out = len(text) - longest
    shown = _HIDDEN.sub(_written_out, text[:longest])
    return f"{shown}… ({left_out:,} characters left out)" if left_out > 0 else shown


def inert(text: str) -> str:
    """`text` with an invisible character inside what a runner would obey; it looks the same.

    GitHub's runner trims a line of every Unicode white space and obeys it where it then begins with `::`; of old it
    obeys `##[` anywhere, as Azure's does `##vso[` and TeamCity's `##teamcity[`; GitLab's and Travis' fold a log at
    `section_start:` and `travis_fold:`.
    """
    if not any(mark in text for mark in ("::", "##", "section_", "travis_")):
        return text
    return "".join(map(_inert_line, text.splitlines(keepends=True)))


def _inert_line(line: str) -> str:
    line = _COMMAND.sub(lambda match: match.group()[0] + _BREAK + match.group()[1:], line)
    seen = _ANSI.sub("", line)
    if not _trimmed(seen).startswith("::"):
        return line
    at = line.find("::")  # -1 where only a colour keeps the colons apart: what a runner sees begins with neither
    return line if at < 0 else f"{line[: at + 1]}{_BREAK}{line[at + 1 :]}"


def _trimmed(text: str) -> str:
    """Without what any runner could take for blank at its start: white space, controls, characters of no width."""
    for at, char in enumerate(text):
        if not char.isspace() and unicodedata.category(char) not in {"Cc", "Cf", "Zs", "Zl", "Zp"}:
            return text[at:]
    return ""


def _written_out(match: re.Match[str]) -> str:
    code = ord(match.group())
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def plain(text: object) -> str:
    """`text` on one line, without control or unassigned characters, escapes, lone surrogates and direction marks.

    What is too long to be read is cut, and says so.
    """
    whole = str(text)
    kept = whole[:LONGEST]
    if not (kept.isascii() and kept.isprintable()):  # which most texts are; a report has thousands
        spaced = (" " if unicodedata.category(char) in ("Cc", "Cn", "Cs", "Zl", "Zp") else char for char in kept)
        kept = "".join(char for char in spaced if char not in _DIRECTIONAL)
    shown = " ".join(kept.split())
    return f"{shown}… ({len(whole) - LONGEST:,} characters left out)" if len(whole) > LONGEST else shown
