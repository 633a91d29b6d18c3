"""What is known of the process that read a checkpoint first."""

from __future__ import annotations

from dataclasses import dataclass

TOKENS = ("start", "mask")
"""Tokens that probes need: BOS (else EOS), and the mask."""


@dataclass(frozen=True, slots=True)
class Isolation:
    """Which confinement was in force when the checkpoint was parsed for the first time."""

    kind: str
    """'process' or 'none'."""
    measures: tuple[str, ...] = ()
    """Of: limits (memory and CPU), network (none), files (read-only), calls (no programs, no sockets)."""
    why: str = ""
    """Why there was none, or what was lacking."""
    unnamed: tuple[str, ...] = ()
    """Of `TOKENS`: those that the tokenizer, loaded there, has not."""

    @property
    def sentence(self) -> str:
        """For a report: the kind and what it means."""
        if self.kind == "none":
            return f"none ({self.why})" if self.why else "none"
        lacking = f"; {self.why}" if self.why else ""
        return f"process ({', '.join(self.measures)}{lacking})"


NO_ISOLATION = Isolation("none", why="not asked for")
