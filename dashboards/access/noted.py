"""What somebody did, a line of JSON each, appended beside the audits."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

ACTIONS = "actions.jsonl"
"""In the folder of audits: every start, stop and resume, with who asked for it."""


def note_action(output: Path, user: str, action: str, subject: str, **more: object) -> None:
    """Append one line to ACTIONS, before the action: what cannot be noted is not done. Raises OSError."""
    append(output / ACTIONS, {"user": user, "action": action, "audit": subject, **more})


def append(path: Path, line: dict[str, object]) -> None:
    """Append `line` with the time. Raises OSError; a link that was planted there is one."""
    stamped = {"at": datetime.now(UTC).isoformat(timespec="seconds"), **line}
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    handle = os.open(path, flags, 0o600)
    try:
        os.write(handle, (json.dumps(stamped, ensure_ascii=False) + "\n").encode())  # at once: lines do not mix
    finally:
        os.close(handle)
