"""CampaignSpec: one audit and the checkpoints or variants it runs on. Paths are relative to the working folder."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator, model_validator

from harness.audit.spec import AuditSpec
from harness.base.frozen import Frozen
from harness.base.hints import did_you_mean
from harness.base.validation import read_yaml, validated
from harness.checkpoint import CheckpointSource
from harness.errors import UsageError

_OURS = ("checkpoint", "name", "output")
"""Keys of an audit that the campaign sets."""
_NAME = re.compile(r"\w[\w.+=-]{0,29}")
"""So short that a name fits beside its numbers on a terminal of 80 columns."""


class Variant(Frozen):
    """A checkpoint under a name. A plain source in YAML, as an audit has it, means `{checkpoint: ...}`."""

    checkpoint: CheckpointSource
    audit: dict[str, Any] = Field(
        default_factory=dict, description="keys of the audit that are others here, e.g. dtype or seed"
    )

    @model_validator(mode="before")
    @classmethod
    def _from_source(cls, value: Any) -> Any:
        return value if isinstance(value, dict) and "checkpoint" in value else {"checkpoint": value}


class CampaignSpec(Frozen):
    """One audit over several checkpoints or variants, compared with one of them."""

    name: str = Field(default="campaign", max_length=60, description="title of the table")
    checkpoints: dict[str, Variant] = Field(min_length=1, description="name -> checkpoint or variant, in their order")
    reference: str = Field(default="", description="the name that the others are compared with; default: the first")
    audit: dict[str, Any] = Field(description="keys of an audit spec but checkpoint, name and output")
    output: Path = Field(default=Path("campaign"), description="folder of the audits and the table")

    @field_validator("checkpoints")
    @classmethod
    def _short_names(cls, checkpoints: dict[str, Variant]) -> dict[str, Variant]:
        wrong = next((name for name in checkpoints if not _NAME.fullmatch(name)), None)
        if wrong is not None:
            raise ValueError(f"the name {wrong[:40]!r} must be 1 to 30 letters, digits and . + = - _")
        return checkpoints

    @model_validator(mode="after")
    def _reference_is_there(self) -> CampaignSpec:
        if self.reference and self.reference not in self.checkpoints:
            hint = did_you_mean(self.reference, list(self.checkpoints))
            raise ValueError(f"reference {self.reference[:40]!r} is no name under checkpoints{hint}")
        return self

    @property
    def against(self) -> str:
        """Name of what the others are compared with."""
        return self.reference or next(iter(self.checkpoints))

    @property
    def audits(self) -> Path:
        """Folder of the audits."""
        return self.output / "audits"

    def audit_of(self, name: str) -> AuditSpec:
        """The audit of one checkpoint. Raises UsageError for one that cannot be read."""
        variant = self.checkpoints[name]
        where = f"checkpoints.{name}.audit" if variant.audit else "audit"
        for place, values in (("audit", self.audit), (f"checkpoints.{name}.audit", variant.audit)):
            _refuse_ours(place, values)
        ours = {"checkpoint": variant.checkpoint.model_dump(mode="json"), "name": name, "output": str(self.audits)}
        return validated(AuditSpec, {**self.audit, **variant.audit, **ours}, where)


def _refuse_ours(place: str, values: Mapping[str, Any]) -> None:
    for key in _OURS:
        if key in values:
            raise UsageError(f"{place}.{key}: the campaign sets it; remove it there")


def load_campaign(path: Path) -> CampaignSpec:
    """The spec in a YAML file, each of its audits read too. Raises UsageError naming what is wrong."""
    spec = validated(CampaignSpec, read_yaml(path), str(path))
    for name in spec.checkpoints:
        try:
            spec.audit_of(name)
        except UsageError as error:
            raise UsageError(f"{path}: {error}") from error
    return spec
