"""The record of an audit on disk: its manifest, and a reader over its folder. Everything downstream reads this."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pydantic import Field, TypeAdapter, field_validator

from harness.api.curves import CurvePlot
from harness.api.metrics import Metric
from harness.base.confined import is_there
from harness.base.files import make_folder, write_text
from harness.base.frozen import Frozen
from harness.base.language import marked
from harness.base.reading import is_folder, read_record
from harness.base.stores import clean_note, store_beside, without_secrets
from harness.base.validation import validated
from harness.errors import UsageError
from harness.gate.policy import Policy
from harness.gate.verdict import Verdict
from harness.provenance.claim import TrainingRecord
from harness.record.rows import count_rows, read_rows
from harness.scan.record import ScanRecord

MANIFEST = "manifest.json"
CURVES = "curves.json"
DECISIONS = "verdicts"
"""Folder of the verdicts that were given later, one file each, numbered."""
_NUMBERED = re.compile(r"[0-9]{6,12}\.json")
_METRICS: TypeAdapter[list[Metric]] = TypeAdapter(list[Metric])
_CURVES: TypeAdapter[list[CurvePlot]] = TypeAdapter(list[CurvePlot])
_VERDICT = TypeAdapter(Verdict)
_NOTE: TypeAdapter[Mapping[str, str]] = TypeAdapter(Mapping[str, str])


class Status(StrEnum):
    """Where an audit stands."""

    RUNNING = marked("running")
    FINISHED = marked("finished")
    INTERRUPTED = marked("interrupted")
    FAILED = marked("failed")


class CheckpointRecord(Frozen):
    """The audited checkpoint."""

    source: str
    architecture: str
    model_type: str
    parameters: int
    labels: tuple[str, ...]
    offers: tuple[str, ...]
    weights: str = Field(description="sha256 over the weights")
    config: str = Field(description="sha256 over the config")
    tokenizer: str = Field(description="sha256 over the tokenizer")
    fingerprint: str = Field(description="sha256 over the three")
    notes: tuple[str, ...] = ()
    permissions: tuple[str, ...] = Field(default=(), description="what the user allowed it, and what that did")
    isolation: str = Field(default="", description="what confined the process that read it first")
    training: TrainingRecord | None = Field(default=None, description="None: no training manifest belongs to it")


class DatasetRecord(Frozen):
    """A dataset as it was used."""

    source: dict[str, Any] = Field(description="the DataSource, as given or defaulted")
    digest: str = Field(description="sha256 over the rows used")
    n: int = Field(description="rows")
    note: str = Field(default="", description="how its labels were read, where that is not by name")


class ModelRecord(Frozen):
    """Another model that a probe asked, as it was planned."""

    source: str
    architecture: str
    parameters: int
    fingerprint: str = Field(description="sha256 over weights, config and tokenizer")
    device: str = Field(description="as asked for")
    dtype: str = Field(description="as asked for")
    notes: tuple[str, ...] = ()
    isolation: str = Field(default="", description="what confined the process that read it first")
    scan: ScanRecord | None = Field(default=None, description="what its files hold; None: not scanned")


class ProbeRecord(Frozen):
    """A probe as it was planned."""

    name: str
    version: str
    params: dict[str, Any]
    summary: str
    paper: str
    cannot_tell: str
    cases: int = Field(description="cases planned, after the limit")
    available: int = Field(description="cases the data hold, before the limit")
    cases_digest: str = Field(description="sha256 over the planned case ids, in order")
    data: dict[str, DatasetRecord] = Field(description="datasets by input name")
    models: dict[str, ModelRecord] = Field(default_factory=dict, description="other models by role")


class WorkRecord(Frozen):
    """Work of one model and process on one probe; a resumed audit has several per probe."""

    probe: str
    model: str = Field(default="", description="role of the model that did it; empty: the audited checkpoint")
    stage: Literal["prepare", "cases"] = Field(default="cases", description="for all cases beforehand, or for some")
    rows: int
    tokens: int
    padded_tokens: int
    batches: int
    halvings: int
    truncated_rows: int
    reused: int = Field(default=0, description="requests that another had asked before, answered without the model")
    cached: int = Field(default=0, description="requests answered from the cache of answers, without the model")
    seconds: float = Field(description="in the model")
    elapsed: float | None = Field(default=None, description="seconds on the clock of a preparation, all models")


class AuditManifest(Frozen):
    """What ran, on what, with which settings; enough to run it again."""

    audit_id: str
    created: str = Field(description="UTC, ISO 8601")
    finished: str | None = None
    status: Status
    why: str = Field(default="", description="why it is not finished")
    name: str
    spec: dict[str, Any] = Field(description="the AuditSpec with every default filled in")
    spec_digest: str
    checkpoint: CheckpointRecord
    probes: tuple[ProbeRecord, ...]
    not_applicable: dict[str, str] = Field(
        default_factory=dict, description="probe -> why checkpoint, tokenizer or kind of data given cannot serve it"
    )
    no_data: dict[str, str] = Field(default_factory=dict, description="probe -> what it was not given")
    left_out: tuple[str, ...] = Field(default=(), description="installed probes that it was not asked to run")
    incomplete: dict[str, str] = Field(default_factory=dict, description="probe -> why it did not finish")
    scan: ScanRecord | None = Field(default=None, description="what the checkpoint's files hold; None: not scanned")
    plugin_errors: dict[str, str] = Field(default_factory=dict, description="entry point -> why it did not load")
    seed: int
    device: str = ""
    dtype: str = ""
    versions: dict[str, str] = Field(default_factory=dict)
    git_commit: str | None = None
    command: str = Field(default="", description="command line that reproduces the audit")
    work: tuple[WorkRecord, ...] = ()

    @field_validator("spec")
    @classmethod
    def _clean_spec(cls, spec: dict[str, Any]) -> dict[str, Any]:
        """Without a password that an early version of Assay let through, so that no report repeats it."""
        tracking = spec.get("tracking")
        spec = {**spec, "tracking": clean_note(tracking)} if isinstance(tracking, dict) else spec
        return _without_warn(spec)

    @field_validator("command")
    @classmethod
    def _clean_command(cls, command: str) -> str:
        return without_secrets(command)


class Decision(Frozen):
    """A verdict given after the audit's own, under the policy that gave it."""

    decided_at: str = Field(description="UTC, ISO 8601")
    policy: Policy
    verdict: Verdict


def _without_warn(spec: dict[str, Any]) -> dict[str, Any]:
    """Without `on_missing: warn` of an early version, which excused whatever was not measured: undecided is left."""
    policy = spec.get("policy")
    gates = policy.get("gates") if isinstance(policy, dict) else None
    if not isinstance(policy, dict) or not isinstance(gates, list | tuple):
        return spec
    kept = [
        {key: value for key, value in gate.items() if (key, value) != ("on_missing", "warn")}
        if isinstance(gate, dict)
        else gate
        for gate in gates
    ]
    return {**spec, "policy": {**policy, "gates": kept}}


_MANIFEST = TypeAdapter(AuditManifest)
_DECISION = TypeAdapter(Decision)


@dataclass(frozen=True, slots=True)
class AuditFolder:
    """Reads (and, for the audit that owns it, writes) one audit's folder."""

    path: Path

    @property
    def manifest_path(self) -> Path:
        """Where the manifest lies."""
        return self.path / MANIFEST

    def manifest(self) -> AuditManifest:
        """The manifest. Raises UsageError when the folder is not an audit, AuditError when the file is damaged."""
        if not is_there(self.manifest_path):
            raise UsageError(f"{self.path}: not an audit (no {MANIFEST}); `assay show` lists the audits of a folder")
        return read_record(self.manifest_path, _MANIFEST)

    def write_manifest(self, manifest: AuditManifest) -> None:
        """Replace the manifest atomically."""
        write_text(self.manifest_path, manifest.model_dump_json(indent=2) + "\n")

    def metrics(self) -> list[Metric]:
        """Measured metrics; empty when the audit has not been measured yet."""
        path = self.path / "metrics.json"
        return read_record(path, _METRICS) if is_there(path) else []

    def write_metrics(self, metrics: list[Metric]) -> None:
        """Replace the metrics atomically."""
        write_text(self.path / "metrics.json", _METRICS.dump_json(metrics, indent=2).decode() + "\n")

    def curves(self) -> list[CurvePlot]:
        """Curves made of the rows, those of a claim only where it is verified; empty where no probe draws any."""
        path = self.path / CURVES
        return read_record(path, _CURVES) if is_there(path) else []

    def write_curves(self, plots: list[CurvePlot]) -> None:
        """Replace the curves atomically; none: no file."""
        path = self.path / CURVES
        if plots:
            write_text(path, _CURVES.dump_json(plots).decode() + "\n")
        else:
            path.unlink(missing_ok=True)

    def verdict(self) -> Verdict | None:
        """The verdict, or None before it was decided."""
        path = self.path / "verdict.json"
        return read_record(path, _VERDICT) if is_there(path) else None

    def write_verdict(self, verdict: Verdict) -> None:
        """Replace the verdict atomically."""
        write_text(self.path / "verdict.json", verdict.model_dump_json(indent=2) + "\n")

    def decisions(self) -> list[Decision]:
        """Verdicts given after the audit's own, oldest first."""
        folder = self.path / DECISIONS
        found = sorted(folder.glob("*.json")) if is_folder(folder) else []
        return [read_record(path, _DECISION) for path in found if _NUMBERED.fullmatch(path.name)]

    def add_decision(self, decision: Decision) -> Path:
        """Keep a later verdict beside the audit's own, which stays. Raises AuditError where nothing can be written."""
        folder = make_folder(self.path / DECISIONS)
        last = max((int(path.stem) for path in folder.glob("*.json") if _NUMBERED.fullmatch(path.name)), default=0)
        while True:  # by number, as clocks of machines differ
            last += 1
            path = folder / f"{last:06}.json"
            try:
                path.touch(exist_ok=False)
            except FileExistsError:
                continue
            write_text(path, decision.model_dump_json(indent=2) + "\n")
            return path

    def policy(self) -> Policy | None:
        """The policy of the newest verdict; None where the audit had none. Raises UsageError: of another version."""
        later = self.decisions()
        if later:
            return later[-1].policy
        own = self.manifest().spec.get("policy")
        return validated(Policy, own, f"{self.manifest_path}: policy") if own else None

    def rows(self, probe: str, columns: list[str] | None = None) -> pd.DataFrame:
        """All rows of one probe, or some columns, without needing its plug-in; empty when there are none."""
        return read_rows(self.path, probe, columns)

    def count(self, probe: str) -> int:
        """How many cases of one probe have a row."""
        return count_rows(self.path, probe)

    def tracking(self) -> dict[str, str]:
        """Where the audit was logged: tracking URI, run id; empty when it was not. A store moved with it is found."""
        path = self.path / "tracking.json"
        note = clean_note(read_record(path, _NOTE)) if is_there(path) else {}
        return {**note, "uri": store_beside(note["uri"], self.path)} if "uri" in note else note

    def write_tracking(self, entry: dict[str, str]) -> None:
        """Replace the tracking entry atomically."""
        write_text(self.path / "tracking.json", json.dumps(entry, indent=2) + "\n")


def audits_in(output: Path) -> Iterator[AuditFolder]:
    """Audits directly below `output`, newest first by their id (which starts with the UTC time)."""
    if is_folder(output):
        for path in sorted(output.iterdir(), reverse=True):
            if is_there(path / MANIFEST):
                yield AuditFolder(path)
