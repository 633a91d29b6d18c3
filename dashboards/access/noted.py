"""What somebody did, a line of JSON each, appended beside the audits."""

from __future__ import annotations

import errno
import json
import os
import stat
from datetime import UTC, datetime
from pathlib import Path

ACTIONS = "actions.jsonl"
"""In the folder of audits: every start, stop and resume, with who asked for it."""


def note_action(output: Path, user: str, action: str, subject: str, **more: object) -> None:
    """Append one line to ACTIONS, before the action: what cannot be noted is not done. Raises OSError."""
    append(output / ACTIONS, {"user": user, "action": action, "audit": subject, **more})


def append(path: Path, line: dict[str, object]) -> None:
    """Append `line` with the time, in ASCII: no reader takes a part of it for a line of its own.

    Raises OSError: a link or a pipe that was planted there is one, and so is a line that found no room.
    """
    stamped = {"at": datetime.now(UTC).isoformat(timespec="seconds"), **line}
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    handle = os.open(path, flags, 0o600)
    try:
        content = (json.dumps(stamped) + "\n").encode()
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        if os.write(handle, content) < len(content):  # at once: lines do not mix
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    finally:
        os.close(handle)
