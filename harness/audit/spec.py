"""AuditSpec: what to audit, with which probes, data, seeds and limits. Paths are relative to the working folder."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from harness.api.models import Device, Dtype
from harness.base.frozen import Frozen
from harness.base.stores import checked_uri
from harness.base.validation import read_yaml, validated
from harness.checkpoint import CheckpointSource
from harness.data.datasets import DataSource
from harness.gate.decide import Policy, load_policy
from harness.reports.content.api import Undecided


class ModelSource(CheckpointSource):
    """Another model, and how it is loaded. A plain string in YAML means `{source: ...}`."""

    device: Device | None = Field(default=None, description="auto, cpu, cuda or mps; default: the audit's")
    dtype: Dtype | None = Field(
        default=None, description="auto, fp32, bf16 or fp16; default: the probe's, or the audit's"
    )

    @property
    def checkpoint(self) -> CheckpointSource:
        """Which it is, without how it is loaded."""
        return CheckpointSource(source=self.source, revision=self.revision, base=self.base)


class ProbeSpec(Frozen):
    """One probe with its settings, or a whole suite by name. A plain string in YAML means `{name: ...}`."""

    name: str = Field(description="suite/probe, or a suite for all of its probes")
    params: dict[str, Any] = Field(default_factory=dict, description="the probe's settings, see `assay probes NAME`")
    data: dict[str, DataSource] = Field(default_factory=dict, description="datasets by input name")
    models: dict[str, ModelSource] = Field(default_factory=dict, description="other models by role")
    limit: int | None = Field(default=None, ge=1, description="at most so many cases, instead of limits.cases")

    @model_validator(mode="before")
    @classmethod
    def _from_string(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value


class Limits(Frozen):
    """Bounds on the work."""

    cases: int | None = Field(default=None, ge=1, description="at most so many cases per probe, drawn by the seed")
    minutes: float | None = Field(default=None, gt=0, description="stop taking new cases after so many minutes")


class Tracking(Frozen):
    """Where the finished audit is logged."""

    uri: str | None = Field(
        default=None,
        description="MLflow store, 'off' for none; default: MLFLOW_TRACKING_URI, else sqlite in the output",
    )
    experiment: str = Field(default="assay", description="MLflow experiment")

    @field_validator("uri")
    @classmethod
    def _without_secrets(cls, uri: str | None) -> str | None:
        return None if uri is None else checked_uri(uri, "tracking.uri")


class Reports(Frozen):
    """How the reports that an audit writes read."""

    undecided: Undecided = Field(
        default=Undecided.SKIPPED,
        description="what JUnit makes of an undecided gate: skipped, which CI shows in green, or failure",
    )


class AuditSpec(Frozen):
    """One audit: a checkpoint and what to measure on it."""

    name: str = Field(default="", max_length=60, description="shown in lists; default: last part of the checkpoint")
    checkpoint: CheckpointSource = Field(description="the checkpoint, by string or mapping")
    probes: tuple[ProbeSpec, ...] = Field(default=(), description="probes and suites; empty: every one that applies")
    data: dict[str, DataSource] = Field(default_factory=dict, description="datasets for every probe, by input name")
    models: dict[str, ModelSource] = Field(default_factory=dict, description="other models for every probe, by role")
    seed: int = Field(default=0, ge=0, lt=2**32, description="seed of sampling, attacks and bootstrap")
    limits: Limits = Field(default_factory=Limits)
    device: Device = "auto"
    dtype: Dtype = "auto"
    executor: Literal["local"] = Field(default="local", description="where cases run")
    tracking: Tracking = Field(default_factory=Tracking)
    reports: Reports = Field(default_factory=Reports)
    policy: Policy | None = Field(default=None, description="gates inline, or the path of a policy file")
    output: Path = Field(default=Path("audits"), description="folder of audits")
    prepared: Path | None = Field(
        default=None, description="folder for what probes prepare, shared by audits; default: inside each audit"
    )

    cache: str | None = Field(
        default=None,
        min_length=1,
        description="keep models' answers: 'audit' for inside the audit, or a folder that audits share; default: off",
    )

    @model_validator(mode="before")
    @classmethod
    def _read_policy(cls, values: Any) -> Any:
        if isinstance(values, dict) and isinstance(values.get("policy"), str):
            return {**values, "policy": load_policy(Path(values["policy"]))}
        return values

    @property
    def title(self) -> str:
        """Name to show."""
        last = self.checkpoint.source.split("#")[0].rstrip("/").split("/")[-1]
        return self.name or last or "audit"

    def canonical(self) -> dict[str, Any]:
        """JSON-able content with every default filled in; keys that are newer only where the spec sets them."""
        content = self.model_dump(mode="json")
        for part in (content, *content["probes"]):
            for newer in ("models", "prepared", "cache"):
                if not part.get(newer):
                    part.pop(newer, None)
        return content

    def digest(self) -> str:
        """sha256 of the canonical content."""
        return hashlib.sha256(json.dumps(self.canonical(), sort_keys=True).encode()).hexdigest()


CACHE = "cache"
"""Folder of an audit that keeps the models' answers for itself alone."""


def cache_of(spec: AuditSpec, audit: Path) -> Path | None:
    """The folder that keeps the answers of an audit's models, None where none are kept."""
    if spec.cache in (None, "off"):
        return None
    return audit / CACHE if spec.cache == "audit" else Path(str(spec.cache))


def load_spec(path: Path, overrides: dict[str, Any] | None = None) -> AuditSpec:
    """The spec in a YAML file, with top-level keys replaced by `overrides`. Raises UsageError."""
    return validated(AuditSpec, {**read_yaml(path), **(overrides or {})}, str(path))
