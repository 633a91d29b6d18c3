"""What went wrong inside a library, short enough for one sentence."""

from __future__ import annotations

_LONGEST = 250


def reason(error: Exception) -> str:
    """Kind and message of a library's error, on one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:_LONGEST]}{'…' if len(text) > _LONGEST else ''}"
