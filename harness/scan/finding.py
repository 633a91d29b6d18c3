"""What a scan says: findings, files, what was not read, and the outcome that follows from them."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from harness.base.frozen import Frozen
from harness.errors import Exit


class Level(StrEnum):
    """How much a finding weighs; notes are no findings for the exit code."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Outcome(StrEnum):
    """What a scan came to."""

    CLEAN = "clean"
    FOUND = "found"
    INCOMPLETE = "incomplete"


EXITS = {Outcome.CLEAN: Exit.PASS, Outcome.FOUND: Exit.BLOCK, Outcome.INCOMPLETE: Exit.INCONCLUSIVE}


def counted(n: int, noun: str) -> str:
    """`1 file`, `2 files`."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


class Finding(Frozen):
    """One thing a rule found in one place."""

    rule: str = Field(description="id of the rule; stable")
    level: Level
    file: str = Field(description="relative to the checkpoint; a member of an archive follows '!'; '.' is all of it")
    where: str = Field(default="", description="place in the file: a key, a tensor, an offset")
    sentence: str


class FileRecord(Frozen):
    """A file as it lies there."""

    path: str
    kind: str = Field(description="by content, not by name")
    size: int = Field(description="bytes")
    target: str = Field(default="", description="of a link: what it points at, as written")
    special: tuple[str, ...] = Field(default=(), description="link, pipe, device, setuid, hidden, sparse …")
    fingerprint: bool = Field(default=False, description="whether the checkpoint's fingerprint covers it")


class Unscanned(Frozen):
    """Something that was not read, or not to its end: whatever it holds is not known."""

    file: str
    why: str


class Estimate(Frozen):
    """What loading would take, from headers alone."""

    parameters: int = Field(description="numbers in all weight files that the fingerprint covers")
    tensors: int
    weight_bytes: int = Field(description="bytes of those weights as stored")
    memory_bytes: int = Field(description="bytes of the weights as float32, which is how Assay loads them on a CPU")


class LibraryNote(Frozen):
    """An installed library with a known hole."""

    library: str
    installed: str
    hole: str = Field(description="CVE, or what it is called")
    affected: str = Field(description="versions")
    what: str
    closed_by: str = Field(description="what keeps it closed here all the same")
    source: str


class ScanReport(Frozen):
    """A scan's result."""

    source: str
    kind: str = Field(description="folder, file, wheel or hub")
    version: str = Field(description="of Assay")
    files: tuple[FileRecord, ...] = ()
    findings: tuple[Finding, ...] = ()
    unscanned: tuple[Unscanned, ...] = ()
    left_out: tuple[str, ...] = Field(default=(), description="what the user asked not to have looked at")
    cannot_tell: tuple[str, ...] = Field(default=(), description="questions that headers and names do not answer")
    estimate: Estimate | None = Field(default=None, description="None: no header of weights could be read")
    libraries: tuple[LibraryNote, ...] = ()
    libraries_as_of: str = ""
    second_opinion: str = Field(default="", description="the other scanner asked, or why none was")
    isolation: str = Field(default="none", description="what confined the process that read the files")
    files_found: int = 0
    seconds: float = 0.0

    @property
    def outcome(self) -> Outcome:
        """Found before incomplete; clean only where everything was read."""
        if any(finding.level is not Level.NOTE for finding in self.findings):
            return Outcome.FOUND
        return Outcome.INCOMPLETE if self.unscanned else Outcome.CLEAN

    @property
    def exit_code(self) -> Exit:
        """0 clean, 1 found, 3 not everything could be scanned."""
        return EXITS[self.outcome]

    def count(self, level: Level) -> int:
        """Findings of a level."""
        return sum(finding.level is level for finding in self.findings)

    @property
    def headline(self) -> str:
        """The outcome in a line; what was not read is said whatever else was found."""
        errors, warnings = self.count(Level.ERROR), self.count(Level.WARNING)
        missed = f"{len(self.unscanned):,} not scanned" if self.unscanned else ""
        if self.outcome is Outcome.FOUND:
            parts = [
                counted(errors, "error") if errors else "",
                counted(warnings, "warning") if warnings else "",
                missed,
            ]
            return f"FOUND: {', '.join(part for part in parts if part)}"
        if self.outcome is Outcome.INCOMPLETE:
            return f"INCOMPLETE: nothing found in what was read, but {missed}; this is not a clean result"
        left_out = f" (left out as asked: {'; '.join(self.left_out)})" if self.left_out else ""
        return f"CLEAN: {counted(self.files_found, 'file')} read, nothing found above notes{left_out}"
