"""Errors a user can act on. Each message is one sentence: what, where, how to fix it."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes of the command line; a promise to CI."""

    PASS = 0
    BLOCK = 1
    USAGE = 2
    INCONCLUSIVE = 3
    FAILED = 4
    INTERRUPTED = 130


class AssayError(Exception):
    """Base of every error that is reported as a sentence instead of a traceback."""

    exit_code: Exit = Exit.FAILED


class UsageError(AssayError):
    """The spec, a path, a name or an option is wrong; nothing has run."""

    exit_code = Exit.USAGE


class NotApplicableError(UsageError):
    """What was asked for cannot be had of this checkpoint; other probes can run."""


class CheckpointError(UsageError):
    """The checkpoint is missing, corrupt, of the wrong kind, or refused as unsafe."""


class DataError(UsageError):
    """A dataset cannot be read, breaks its schema, or is not of the kind that a probe reads."""


class WrongDataError(DataError):
    """The data are of the right kind but wrong: a label means no class, records are not those of the training."""


class NoDataError(DataError):
    """Something a probe needs besides the checkpoint was not given, and it has nothing of its own that fits."""


class AuditError(AssayError):
    """The audit itself failed while running; what was finished is on disk."""
