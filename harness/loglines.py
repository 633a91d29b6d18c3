"""Text for a log that a CI runner reads along: no line of it is a command to the runner."""

from __future__ import annotations

import re

_COMMAND = re.compile(r"^([ \t]*:)(?=:)|(#)(?=#\[)", re.MULTILINE)
"""GitHub's runner obeys lines that begin with `::` and, of old, `##[` wherever it stands in a line."""


def inert(text: str) -> str:
    """`text` with an invisible character inside what a runner would obey; it looks the same."""
    return _COMMAND.sub("\\g<0>\u200b", text)
