"""What this process has decided: exit codes 0, 1 and 3 of a command that decides are earned here and nowhere else."""

from __future__ import annotations

from harness.errors import Exit

_DECIDING = {Exit.PASS, Exit.BLOCK, Exit.INCONCLUSIVE}


class _Decision:
    """Whether a verdict is due, and the exit code of the one that was written."""

    due: bool = False
    code: int | None = None


_decision = _Decision()


def begin() -> None:
    """A new command line: nothing is due and nothing decided."""
    _decision.due, _decision.code = False, None


def verdict_due() -> None:
    """A command that decides says so first; from then on only `decided` gives 0, 1 or 3."""
    _decision.due, _decision.code = True, None


def decided(code: Exit) -> Exit:
    """The exit code of a verdict that was written or shown, noted and returned."""
    _decision.code = code
    return code


def settled(code: int) -> int:
    """The exit code to leave with: FAILED for one that stands for a verdict nobody gave."""
    if _decision.due:
        return code if code not in _DECIDING or code == _decision.code else Exit.FAILED
    return Exit.FAILED if code in {Exit.BLOCK, Exit.INCONCLUSIVE} else code
