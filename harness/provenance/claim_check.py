"""Whether a privacy claim follows from its ledger: what an installed package answers, and how it is asked.

The harness cannot recompute an epsilon. A package that can registers a `ClaimChecker` in the entry point group
`assay.claims`; without one no claim is verified.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Protocol, Self

from pydantic import Field, model_validator

from harness.base.frozen import FrozenMaybeInfinite
from harness.base.plugins import load
from harness.provenance.manifest import TrainingManifest

CLAIMS = "assay.claims"
_LONGEST = 400
"""Characters of a reason: an exception of a plug-in may quote a whole file."""


class ClaimCheck(FrozenMaybeInfinite):
    """What came of recomputing a claim. It proves that its numbers follow from each other, not who wrote them."""

    verified: bool = Field(default=False, description="whether the claim follows from the ledger beside the weights")
    reason: str = Field(default="this audit did not verify it", description="why it is not verified; '' when it is")
    epsilon: float | None = Field(default=None, description="upper bound recomputed; inf: none; null: not recomputed")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.verified and not (self.epsilon is not None and self.epsilon >= 0):
            raise ValueError("a verified claim has the epsilon that was recomputed, a number that is at least 0")
        if not self.verified and not self.reason:
            raise ValueError("a claim that is not verified says why")
        return self

    @classmethod
    def holds(cls, epsilon: float) -> ClaimCheck:
        """The claim follows; `epsilon` is the upper bound recomputed."""
        return cls(verified=True, reason="", epsilon=epsilon)

    @classmethod
    def fails(cls, reason: str, epsilon: float | None = None) -> ClaimCheck:
        """The claim does not follow, or nobody can tell."""
        return cls(reason=reason[:_LONGEST] or "no reason was given", epsilon=epsilon)


UNCHECKED = ClaimCheck()
"""Of an audit that did not look, e.g. one from before claims were verified."""


class ClaimChecker(Protocol):
    """What an entry point of the group `assay.claims` names."""

    def __call__(self, folder: Path, manifest: TrainingManifest, weights: str) -> ClaimCheck:
        """Recompute `manifest.privacy` from what lies in `folder`, whose weights have the digest `weights`.

        The folder is a stranger's: nothing in it may make this hang, take much memory or raise.
        """
        ...


def check_claim(
    folder: Path, manifest: TrainingManifest, weights: str, points: Iterable[EntryPoint] | None = None
) -> ClaimCheck:
    """The answer of the first installed checker that verifies the claim, else of the last one asked.

    `points` stands in for the installed entry points. A checker that fails verifies nothing.
    """
    found = ClaimCheck.fails("no installed package can recompute it")
    for point in sorted(points if points is not None else entry_points(group=CLAIMS), key=lambda p: (p.name, p.value)):
        found = _ask(point, folder, manifest, weights)
        if found.verified:
            break
    return found


def _ask(point: EntryPoint, folder: Path, manifest: TrainingManifest, weights: str) -> ClaimCheck:
    try:
        answer = load(point)(folder, manifest, weights)
        if not isinstance(answer, ClaimCheck):
            raise TypeError(f"it answered with a {type(answer).__name__}, not a ClaimCheck")
        return answer
    except (Exception, SystemExit) as error:  # a plug-in may raise anything; it must not cost the audit
        return ClaimCheck.fails(f"the checker {point.name} failed ({type(error).__name__}: {error})")
