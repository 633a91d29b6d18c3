"""What every report says, as plain one-line strings; the formats differ only in how they set it."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from harness import claim, numbers
from harness.gate import GateResult, Outcome
from harness.metrics import Better, Metric
from harness.probe import About, Need
from harness.record import AuditManifest, ProbeRecord
from harness.reports.api import ReportInput

_DIRECTIONAL = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that reorder the text around them: a data set must not be able to rearrange a report."""

OUTCOME_WORDS: Mapping[Outcome, str] = {
    Outcome.PASS: "PASS",
    Outcome.BLOCK: "BLOCK",
    Outcome.INCONCLUSIVE: "INCONCLUSIVE",
}


@dataclass(frozen=True, slots=True)
class MetricLine:
    """A metric as shown, with the gates about it."""

    metric: Metric
    name: str
    """Last part of the key, with the slice."""
    value: str
    interval: str
    method: str
    """Of the interval, with its level; '' without one."""
    unit: str
    direction: str
    gates: tuple[GateResult, ...]


@dataclass(frozen=True, slots=True)
class ProbeSection:
    """A probe with its metrics."""

    name: str
    about: About | None
    """None when metrics are there but the manifest does not know the probe."""
    work: str
    """How many cases of which data, with what settings."""
    incomplete: str
    """Why it did not finish; '' when it did."""
    lines: tuple[MetricLine, ...]


def plain(text: object) -> str:
    """`text` on one line, without control characters, terminal escapes, lone surrogates or direction marks."""
    kept = (" " if unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") else char for char in str(text))
    return " ".join("".join(char for char in kept if char not in _DIRECTIONAL).split())


def probe_sections(report: ReportInput) -> list[ProbeSection]:
    """Planned probes in their order, then probes known only by their metrics."""
    by_probe: dict[str, list[Metric]] = {record.name: [] for record in report.manifest.probes}
    for metric in report.metrics:
        by_probe.setdefault(metric.key.rpartition("/")[0], []).append(metric)
    records = {record.name: record for record in report.manifest.probes}
    return [
        ProbeSection(
            name=plain(name),
            about=_about(report.abouts.get(name)),
            work=_work(records[name]) if name in records else "not planned by this audit",
            incomplete=plain(report.manifest.incomplete.get(name, "")),
            lines=tuple(_line(metric, report.verdict.gates) for metric in metrics),
        )
        for name, metrics in by_probe.items()
    ]


def gate_name(result: GateResult) -> str:
    """Metric of a gate, with its slice."""
    return _with_slice(result.gate.metric, result.gate.slice)


def metric_notes(metric: Metric) -> list[str]:
    """Cautions to print beside a metric."""
    notes = [plain(metric.note)] if metric.note else []
    if metric.value is not None and metric.low is None and metric.high is None:
        notes.append("no interval: no gate can decide on it")
    return notes


def training(manifest: AuditManifest) -> str:
    """How the checkpoint was trained, as its training manifest claims: no audit proves it."""
    checkpoint = manifest.checkpoint
    return plain(claim.training_line(checkpoint.training, has_manifest=Need.TRAINING_MANIFEST in checkpoint.offers))


def provenance(report: ReportInput) -> list[tuple[str, str]]:
    """Label and text of everything needed to run the audit again."""
    manifest = report.manifest
    checkpoint = manifest.checkpoint
    entries = [
        ("audit", f"{manifest.name} ({manifest.audit_id})"),
        ("status", f"{manifest.status}{f': {manifest.why}' if manifest.why else ''}"),
        ("created", manifest.created),
        ("finished", manifest.finished or "not finished"),
        ("checkpoint", checkpoint.source),
        ("architecture", f"{checkpoint.architecture or checkpoint.model_type}, {checkpoint.parameters:,} parameters"),
        ("checkpoint fingerprint", checkpoint.fingerprint),
        ("weights", checkpoint.weights),
        ("config", checkpoint.config),
        ("tokenizer", checkpoint.tokenizer),
        *(("checkpoint note", note) for note in checkpoint.notes),
        *_datasets(manifest),
        ("policy", _policy(report)),
        ("spec digest", manifest.spec_digest),
        ("seed", str(manifest.seed)),
        ("device", f"{manifest.device or 'unknown'}, {manifest.dtype or 'unknown dtype'}"),
        ("versions", ", ".join(f"{name} {version}" for name, version in manifest.versions.items()) or "unknown"),
        ("git commit", manifest.git_commit or "not in a git repository"),
        ("command", manifest.command or "unknown"),
    ]
    return [(label, plain(text)) for label, text in entries]


def direction(metric: Metric) -> str:
    """Which way is better, in a word or two."""
    if metric.better is Better.TARGET:
        return f"target {numbers.bound(metric.target)}" if metric.target is not None else "target"
    return {Better.HIGHER: "higher", Better.LOWER: "lower"}.get(metric.better, "neither")


def _line(metric: Metric, gates: tuple[GateResult, ...]) -> MetricLine:
    bounded = metric.low is not None or metric.high is not None
    return MetricLine(
        metric=metric,
        name=_with_slice(metric.key.rpartition("/")[2], metric.slice),
        value=numbers.number(metric.value),
        interval=numbers.interval(metric.low, metric.high),
        method=f"{plain(metric.interval) or 'method not stated'}, {numbers.percent(metric.level)}" if bounded else "",
        unit=plain(metric.unit),
        direction=direction(metric),
        gates=tuple(item for item in gates if (item.gate.metric, item.gate.slice) == (metric.key, metric.slice)),
    )


def _with_slice(name: str, part: str) -> str:
    return plain(f"{name} [{part}]" if part else name)


def _about(about: About | None) -> About | None:
    """The same on one line each, without the full stops that formats set themselves."""
    if about is None:
        return None
    return About(*(plain(text).rstrip(".") for text in (about.summary, about.paper, about.cannot_tell)))


def _work(record: ProbeRecord) -> str:
    of = f" of {record.available}" if record.available != record.cases else ""
    params = ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in record.params.items())
    return plain(f"version {record.version}, {record.cases}{of} cases{f'; {params}' if params else ''}")


def _datasets(manifest: AuditManifest) -> list[tuple[str, str]]:
    """One entry per distinct dataset, with the inputs it served."""
    served: dict[tuple[str, str, int], list[str]] = {}
    for probe in manifest.probes:
        for name, data in probe.data.items():
            served.setdefault((str(data.source.get("source", "?")), data.digest, data.n), []).append(
                f"{probe.name}:{name}"
            )
    return [
        ("dataset", f"{source}, {n} rows, digest {digest}, for {', '.join(inputs)}")
        for (source, digest, n), inputs in served.items()
    ]


def _policy(report: ReportInput) -> str:
    verdict = report.verdict
    return f"{verdict.policy}, digest {verdict.policy_digest}" if verdict.policy else "none"
