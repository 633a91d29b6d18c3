"""Other models that a probe asks beside the audited checkpoint: what it declares of them, and they themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from harness.api.needs import Need, lacking
from harness.errors import AuditError

if TYPE_CHECKING:
    from harness.api.checkpoint import CheckpointSource
    from harness.api.scorer import Scorer

Device = Literal["auto", "cpu", "cuda", "mps"]
Dtype = Literal["auto", "fp32", "bf16", "fp16"]


@dataclass(frozen=True, slots=True)
class ModelRole:
    """Another model a probe asks: what it must offer, what it is for, and which it is unless the spec says otherwise.

    `dtype` None: the audit's own; fp32 where numbers are held against a threshold, which must not hang on rounding.
    """

    needs: tuple[frozenset[Need], ...]
    what: str
    default: CheckpointSource | None = None
    required: bool = True
    dtype: Dtype | None = None

    def why_not(self, offers: frozenset[Need]) -> str | None:
        """Why a model that offers `offers` cannot take the role; None where it can."""
        return lacking(self.needs, offers, "it")


class Models(Mapping[str, "Scorer"]):
    """What a probe may ask: `subject`, the audited checkpoint, and by role the others, each loaded when first used.

    Holds the roles that have a model; one that need not have any is looked for with `in`.
    """

    def __init__(self, subject: Scorer, others: Mapping[str, Callable[[], Scorer]] = MappingProxyType({})) -> None:
        self.subject = subject
        self._others = dict(others)

    def __getitem__(self, role: str) -> Scorer:
        """The scorer of a role. Raises AuditError where it has no model."""
        if role not in self._others:
            known = ", ".join(self._others) or "none"
            raise AuditError(
                f"no model has the role {role!r} (there are: {known}); declare it in the probe's `models`, and in a "
                "test hand it over with probe.within(Models(scorer, {role: load}))"
            )
        return self._others[role]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._others)

    def __len__(self) -> int:
        return len(self._others)

    def __contains__(self, role: object) -> bool:
        """Whether a role has a model; loads none, as asking for it would."""
        return role in self._others
