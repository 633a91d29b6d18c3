"""The process that works on an audit: whether there is one, and how it is asked to stop."""

from __future__ import annotations

import re
import signal
import socket
import time
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import psutil

from dashboards.access.actor import Actor
from dashboards.access.noted import note_action
from dashboards.settings import Settings
from harness.base.confined import is_there
from harness.base.language import _
from harness.errors import UsageError
from harness.record.folder import MANIFEST, AuditFolder, Status
from harness.record.lock import LOCK, Holder, holder

_BEGINS = 15.0
"""Seconds from an audit's folder to its lock, at most: in between the plan is printed and nothing is read."""
_SIGINT = 1 << (signal.SIGINT - 1)


class Standing(StrEnum):
    """Where an audit stands, by its lock first: a manifest says `running` of a killed one too."""

    WORKING = "working"
    BEGINNING = "beginning"
    GONE = "gone"
    INTERRUPTED = "interrupted"
    FAILED = "failed"
    FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class Process:
    """An audit's standing, and who works on it where somebody does."""

    standing: Standing
    holder: Holder | None = None

    @property
    def moves(self) -> bool:
        """Whether something may still come."""
        return self.standing in (Standing.WORKING, Standing.BEGINNING)

    @property
    def may_go_on(self) -> bool:
        """Whether `assay resume` would go on with it."""
        return self.standing in (Standing.GONE, Standing.INTERRUPTED, Standing.FAILED)


def process_of(folder: AuditFolder, status: Status) -> Process:
    """Where an audit stands whose manifest says `status`. Raises AuditError or UsageError where the disk refuses."""
    if status is Status.FINISHED:
        return Process(Standing.FINISHED)
    found = holder(folder.path)
    if found is not None:
        return Process(Standing.WORKING, found)
    if status is Status.RUNNING:
        age = time.time() - folder.manifest_path.stat().st_mtime
        return Process(Standing.BEGINNING if age < _BEGINS else Standing.GONE)
    return Process(Standing(status))


def local_audit(settings: Settings, audit: str) -> AuditFolder:
    """The audit of that id in the dashboard's folder. Raises UsageError for anything else, such as a path."""
    folder = settings.output / audit
    if not re.fullmatch(r"[\w\-.]+", audit) or audit.startswith(".") or not is_there(folder / MANIFEST):
        raise UsageError(_("{audit} is no audit in {output}.", audit=audit[:80], output=settings.output))
    return AuditFolder(folder)


def stop(actor: Actor, settings: Settings, audit: str) -> None:
    """Ask the process that works on an audit to stop, as Ctrl-C does: what is finished is kept.

    Raises UsageError: not allowed, nobody works on it, on another machine, or another user's process.
    """
    actor.require_auditor(_("stop an audit"))
    process = _worker(local_audit(settings, audit).path)
    note(actor, settings, "stop", audit)
    interrupt(process)


def note(actor: Actor, settings: Settings, action: str, subject: str, **more: object) -> None:
    """Write down what is about to be done. Raises UsageError where it cannot be written: then it is not done."""
    try:
        note_action(settings.output, actor.name, action, subject, **more)
    except OSError as error:
        raise UsageError(
            _("Nothing was done: actions.jsonl cannot be written ({why}).", why=error.strerror or "")
        ) from error


def interrupt(process: psutil.Process) -> None:
    """SIGINT where the process hears it, SIGTERM where it was started with Ctrl-C ignored: `assay` takes both alike.

    psutil refuses where the process ended meanwhile and another one has its number. Raises UsageError.
    """
    try:
        process.send_signal(signal.SIGINT if _hears_ctrl_c(process.pid) else signal.SIGTERM)
    except psutil.NoSuchProcess as error:
        raise UsageError(_("It has just ended by itself.")) from error
    except psutil.AccessDenied as error:
        raise UsageError(_("Process {pid} belongs to another user.", pid=process.pid)) from error


def _worker(audit: Path) -> psutil.Process:
    """The process that holds the audit's lock. The file only names one, so that one must have the file open."""
    found = holder(audit)
    if found is None:
        raise UsageError(_("No process works on {audit}.", audit=audit.name))
    if found.host != socket.gethostname():
        raise UsageError(
            _("Process {pid} on {host} works on it; stop it there.", pid=found.pid or "?", host=found.host or "?")
        )
    try:
        process = psutil.Process(found.pid)
        opened = [Path(each.path) for each in process.open_files()]
    except psutil.NoSuchProcess as error:
        raise UsageError(_("Process {pid} has just ended.", pid=found.pid)) from error
    except psutil.AccessDenied as error:
        raise UsageError(_("Process {pid} belongs to another user.", pid=found.pid)) from error
    if not any(path.name == LOCK and path.exists() and path.samefile(audit / LOCK) for path in opened):
        raise UsageError(_("Process {pid} does not work on this audit, whatever its lock says.", pid=found.pid))
    return process


def _hears_ctrl_c(pid: int) -> bool:
    """Whether it has a handler for SIGINT, as far as can be told: only Linux tells."""
    try:
        told = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return True
    caught = re.search(r"^SigCgt:\s*([0-9a-f]+)$", told, re.MULTILINE)
    return caught is None or bool(int(caught[1], 16) & _SIGINT)
