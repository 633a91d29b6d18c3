"""Audits that are started or resumed from a page: `assay` in a process of its own that outlives the dashboard."""

from __future__ import annotations

import os
import re
import secrets
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

from dashboards.access.actor import Actor
from dashboards.control.process import interrupt, local_audit, note
from dashboards.settings import OWN, Settings
from harness.base.confined import is_there, open_regular, read_bytes
from harness.base.files import explain, make_folder, write_text
from harness.base.language import ENGLISH, _, language
from harness.base.loglines import clean
from harness.base.surroundings import python_environment
from harness.errors import AssayError, UsageError
from harness.record.folder import AuditFolder, audits_in
from harness.record.lock import holder

STARTS = "starts"
"""In the folder of audits: a folder per start with its spec, what it printed, and its process."""
CONSOLE = "console.log"
"""What `assay` printed: of a start in its folder there, of a resumed audit in the audit's."""
_SPEC, _PID = "spec.yaml", "pid"
_ID = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}")
_MOMENT = 16  # characters of an id that are its time
_LOG_BYTES = 2**30
_PID_BYTES = 64
_TAIL_BYTES = 2**16
_APPENDING = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_children: list[subprocess.Popen[bytes]] = []
"""Started by this server, so that each is waited for once it has ended."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A start, whether or not there is an audit of it yet."""

    id: str
    folder: Path

    @property
    def spec(self) -> Path:
        """Its spec, which its command line names."""
        return self.folder / _SPEC

    def process(self) -> psutil.Process | None:
        """Its process while it runs: that of the number noted, unless another one has it by now."""
        try:
            found = psutil.Process(int(read_bytes(self.folder / _PID, _PID_BYTES)))
            ended = found.status() == psutil.STATUS_ZOMBIE
            return found if not ended and str(self.spec) in found.cmdline() else None
        except (AssayError, ValueError, OverflowError, psutil.Error):
            return None

    def audit(self, output: Path) -> AuditFolder | None:
        """The audit that came of it, by the command line in its manifest."""
        for folder in audits_in(output):
            if folder.path.name[:_MOMENT] < self.id[:_MOMENT]:
                return None
            try:
                if str(self.spec) in shlex.split(folder.manifest().command):
                    return folder
            except (AssayError, ValueError):  # a damaged one is not it
                continue
        return None


def find_start(settings: Settings, start: str) -> Begun | None:
    """The start of that id; None where there is none."""
    folder = settings.output.absolute() / STARTS / start
    return Begun(start, folder) if _ID.fullmatch(start) and is_there(folder / _SPEC) else None


def start_of(settings: Settings, command: str) -> Begun | None:
    """The start whose spec an audit's command line names; None where it was started otherwise."""
    try:
        words = [Path(word) for word in shlex.split(command)]
    except ValueError:
        return None
    home = settings.output.absolute() / STARTS
    names = [word.parent.name for word in words if word.name == _SPEC and word.parent.parent == home]
    return find_start(settings, names[0]) if names else None


def start(actor: Actor, settings: Settings, spec: str, permissions: Sequence[str] = ()) -> Begun:
    """`assay run` on a spec, given as YAML that was checked. Raises UsageError."""
    actor.require_auditor(_("start an audit"))
    allowed(settings, permissions)
    name = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
    begun = Begun(name, make_folder(settings.output.absolute() / STARTS / name))
    write_text(begun.spec, spec)
    note(actor, settings, "start", name, permissions=list(permissions))
    pid = _spawn(settings, ["run", str(begun.spec), *permissions, *_in_language()], begun.folder / CONSOLE)
    write_text(begun.folder / _PID, str(pid))
    return begun


def resume(actor: Actor, settings: Settings, audit: str, permissions: Sequence[str] = ()) -> None:
    """`assay resume` on an audit of the dashboard's folder. Raises UsageError."""
    actor.require_auditor(_("resume an audit"))
    allowed(settings, permissions)
    path = local_audit(settings, audit).path.absolute()
    if (found := holder(path)) is not None:
        raise UsageError(_("Process {pid} works on it already.", pid=found.pid or "?"))
    note(actor, settings, "resume", audit, permissions=list(permissions))
    _spawn(settings, ["resume", str(path), *permissions, *_in_language()], path / CONSOLE)


def call_off(actor: Actor, settings: Settings, start: str) -> None:
    """Stop a start that has no audit yet. Raises UsageError."""
    actor.require_auditor(_("stop an audit"))
    begun = find_start(settings, start)
    process = begun.process() if begun is not None else None
    if process is None:
        raise UsageError(_("No process works on {audit}.", audit=start[:80]))
    note(actor, settings, "stop", start)
    interrupt(process)


def allowed(settings: Settings, permissions: Sequence[str]) -> None:
    """Raises UsageError for a permission that the dashboard was not started with."""
    for each in permissions:
        if each not in settings.access.permissions:
            raise UsageError(_("This dashboard was not started with {option}.", option=each[:40]))


def words(*arguments: str) -> list[str]:
    """Command line of `assay`: a list, never read by a shell; paths in it are absolute, so none reads as an option."""
    return [sys.executable, "-P", "-m", "harness.cli", *arguments]


def surroundings() -> dict[str, str]:
    """Variables of the processes started here: nothing that is the server's own, and lines as they are printed."""
    kept = {
        name: value
        for name, value in python_environment().items()
        if name not in OWN and not name.startswith("STREAMLIT_")
    }
    return {**kept, "PYTHONUNBUFFERED": "1"}


def last_lines(log: Path, lines: int = 20) -> str:
    """The end of a log, what would steer a terminal written out; empty where there is none."""
    if not is_there(log):
        return ""
    try:
        with open_regular(log, _LOG_BYTES) as handle:
            handle.seek(max(0, handle.seek(0, os.SEEK_END) - _TAIL_BYTES))
            text = handle.read().decode(errors="replace")
    except AssayError as error:
        return str(error)
    return "\n".join(clean(line, 400) for line in text.splitlines()[-lines:])


def _in_language() -> list[str]:
    """The report speaks what the page spoke on which it was asked for; English need not be said."""
    return [] if language() == ENGLISH else ["--language", language()]


def _spawn(settings: Settings, arguments: Sequence[str], log: Path) -> int:
    """Its process id; it has a session of its own, so that closing the dashboard leaves it alone."""
    _children[:] = [child for child in _children if child.poll() is None]
    try:
        handle = os.open(log, _APPENDING, 0o600)
    except OSError as error:  # a planted link or pipe is one
        told = explain(error, log)
        if isinstance(told, AssayError):
            raise told from error
        raise UsageError(_("{file} cannot be written ({why}): move it away.", file=log, why=error.strerror)) from error
    try:
        child = subprocess.Popen(
            words(*arguments),
            stdin=subprocess.DEVNULL,
            stdout=handle,
            stderr=subprocess.STDOUT,
            cwd=settings.folder,
            env=surroundings(),
            start_new_session=True,
        )
    finally:
        os.close(handle)
    _children.append(child)
    return child.pid
