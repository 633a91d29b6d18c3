"""What every report says, as plain one-line strings; the formats differ only in how they set it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.api.curves import CurvePlot
from harness.api.metrics import PROVEN, Better, Control, Metric
from harness.api.needs import Need
from harness.api.probe import About
from harness.base import numbers
from harness.base.language import _, marked, told
from harness.base.loglines import plain
from harness.gate.claim_metric import CLAIM_PROBE
from harness.gate.policy import Deciding, Gate, Severity
from harness.gate.verdict import Comparison, GateResult, Outcome
from harness.provenance import claim
from harness.record.folder import AuditManifest, ProbeRecord
from harness.reports.content.api import Level, ReportInput
from harness.reports.content.recorded import retold
from harness.scan.record import SCAN_PROBE

OUTCOME_WORDS: Mapping[Outcome, str] = {
    Outcome.PASS: marked("PASS"),
    Outcome.BLOCK: marked("BLOCK"),
    Outcome.INCONCLUSIVE: marked("INCONCLUSIVE"),
}

_DECIDES: Mapping[Deciding, str] = {
    Deciding.BOTH: "the whole interval decides",
    Deciding.WORST: "the worst end of the interval decides",
    Deciding.BEST: "the best end of the interval decides",
    Deciding.POINT: "the estimate decides, without its interval",
}
_NO_PROBE: Mapping[str, str] = {
    CLAIM_PROBE: marked("the privacy claim of the checkpoint, recomputed from its ledger"),
    SCAN_PROBE: marked("the files of the checkpoint, scanned before anything was loaded"),
}
_ORDER = {Outcome.BLOCK: 0, Outcome.INCONCLUSIVE: 1, Outcome.PASS: 2}
EXAMPLES_NOTE = marked(
    "Rows that turned worse than in the baseline, and the first rows of each probe by case id, whatever came of them. "
    "Their text is masked below the level full."
)
FLIPS_SHOWN = 10
"""Ids of flipped cases that a page lists for each metric and kind; the JSON has all that were kept."""


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
    control: ControlLine | None
    """What stands beneath it; None without a control."""

    @property
    def n(self) -> int:
        """Independent observations."""
        return self.metric.n


@dataclass(frozen=True, slots=True)
class ControlLine:
    """The same where nothing should be found, as shown beneath a metric."""

    name: str
    """'control: ' and what it is."""
    value: str
    interval: str
    n: int


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
    plots: tuple[CurvePlot, ...] = ()


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
            work=_work(records[name]) if name in records else _unplanned(name),
            incomplete=plain(retold(report.manifest.incomplete.get(name, ""))),
            lines=tuple(_line(metric, report.verdict.gates) for metric in metrics),
            plots=tuple(plot for plot in report.plots if plot.probe == name),
        )
        for name, metrics in by_probe.items()
    ]


def metrics_section(metrics: Sequence[Metric], about: About) -> ProbeSection:
    """Metrics of rows that no audit has: there are neither cases nor gates; the name is that of the probe."""
    name = metrics[0].key.rpartition("/")[0] if metrics else ""
    lines = tuple(_line(metric, ()) for metric in metrics)
    return ProbeSection(plain(name), _about(about), "", "", lines)


def gate_name(result: GateResult) -> str:
    """Metric of a gate, with its slice."""
    return _with_slice(result.metric, result.slice)


def gates_on(metric: Metric, gates: Iterable[GateResult]) -> tuple[GateResult, ...]:
    """The results that are about a metric, those of patterns too."""
    return tuple(item for item in gates if (item.metric, item.slice) == (metric.key, metric.slice))


def gate_title(result: GateResult) -> str:
    """Id of a gate, the metric too where the gate is about several: no two results of a verdict have the same."""
    return plain(f"{result.gate.id}: {gate_name(result)}" if result.gate.is_pattern else result.gate.id)


def how_decided(gate: Gate) -> str:
    """Which end of the interval decides, and on how much evidence."""
    return f"{_DECIDES[gate.evidence.decides]}, on at least {gate.min_examples} examples"


def outcome_word(outcome: Outcome) -> str:
    """An outcome in capitals, as the verdict is printed."""
    return _(OUTCOME_WORDS[outcome])


def outcome_label(result: GateResult) -> str:
    """What a gate found and, where that differs, how it counts."""
    word = outcome_word(result.outcome)
    if not result.asked:
        return _("NOT ASKED FOR")
    if result.excused and not result.waived:
        return _("NOT MEASURED (excused: {why})", why=_(str(result.absence)))
    if result.outcome is Outcome.PASS:
        return word
    if result.expired:
        return _("{outcome} (waiver expired)", outcome=word)
    if result.waived:
        return _("{outcome} (waived)", outcome=word)
    if result.severity is Severity.WARN:
        return _("{outcome} (warning)", outcome=word)
    if result.severity is Severity.INFO:
        return _("{outcome} (information)", outcome=word)
    if result.effective is not result.outcome:
        return _("{outcome} (counts as {other})", outcome=word, other=outcome_word(result.effective))
    return word


def block_advice(report: ReportInput) -> str:
    """What can be done about gates that block and do not say so themselves; "" where there is none."""
    if not any(item.effective is Outcome.BLOCK and not item.fix for item in attention(report)):
        return ""
    return _("A gate that blocks: mend the model and audit it again, or have its owner waive the gate until a date.")


def attention(report: ReportInput) -> list[GateResult]:
    """Gates that did not pass: what blocks the release first, then what keeps it undecided, then what only warns."""
    found = [item for item in report.verdict.gates if item.outcome is not Outcome.PASS and item.asked]
    return sorted(found, key=lambda item: (_ORDER[item.effective], item.severity is Severity.INFO))


def comparisons(report: ReportInput) -> list[tuple[GateResult, Comparison]]:
    """Comparisons with the baseline, one per metric and slice: those proven worse first, by how much worse they are."""
    found = {
        (item.comparison.metric, item.comparison.slice): (item, item.comparison)
        for item in report.verdict.gates
        if item.comparison is not None
    }
    return sorted(found.values(), key=lambda pair: _by_regression(pair[1]))


def comparison_name(comparison: Comparison) -> str:
    """Metric of a comparison, with its slice."""
    return _with_slice(comparison.metric, comparison.slice)


def regression(comparison: Comparison) -> str:
    """How much worse, with its interval, or why that is unknown."""
    if comparison.regression is None:
        return plain(retold(comparison.note)) or _("not compared")
    shown = numbers.number(comparison.regression)
    bounded = comparison.low is not None or comparison.high is not None
    return f"{shown} {numbers.interval(comparison.low, comparison.high)}" if bounded else shown


def matching(comparison: Comparison) -> str:
    """How many cases were compared, and how many could not be."""
    counts = (
        (comparison.unusable, _("{n} without a usable row", n=comparison.unusable)),
        (comparison.excluded, _("{n} excluded", n=comparison.excluded)),
        (comparison.only_candidate, _("{n} only in the candidate", n=comparison.only_candidate)),
        (comparison.only_baseline, _("{n} only in the baseline", n=comparison.only_baseline)),
    )
    return _(", ").join([_("{n} pairs", n=comparison.n), *(said for count, said in counts if count)])


def baseline_line(report: ReportInput) -> str:
    """The audit it was compared with; '' without one."""
    baseline = report.verdict.baseline
    if baseline is None:
        return ""
    said = _(
        "{ref}: {name} ({audit}), checkpoint {checkpoint}, fingerprint {fingerprint}",
        ref=baseline.ref,
        name=baseline.name,
        audit=baseline.audit_id,
        checkpoint=baseline.checkpoint,
        fingerprint=baseline.fingerprint,
    )
    if baseline.other_data:
        said = _("{baseline}; other data: {data}", baseline=said, data=", ".join(baseline.other_data))
    return plain(said)


def evidence(result: GateResult) -> list[tuple[str, str]]:
    """Label and text of everything a gate was decided on."""
    gate = result.gate
    entries = [
        ("outcome", outcome_label(result)),
        ("counts as", OUTCOME_WORDS[result.effective]),
        ("metric", gate_name(result)),
        ("rule", gate.rule),
        ("severity", gate.severity),
        ("how", how_decided(gate)),
        ("value", numbers.number(result.value)),
        ("interval", numbers.interval(result.low, result.high)),
        ("n", str(result.n)),
        *_test(result),
        *(_paired(result.comparison) if result.comparison is not None else []),
        ("decided because", result.reason),
        *([("what to do", result.fix)] if result.fix else []),
        *_waiver(result),
        *([("why the rule exists", gate.reason)] if gate.reason else []),
    ]
    return [(label, plain(text)) for label, text in entries]


def _test(result: GateResult) -> list[tuple[str, str]]:
    named = (("p", result.p), ("corrected p", result.p_corrected), ("blocks at corrected p", result.alpha))
    return [(label, numbers.number(value)) for label, value in named if value is not None]


def _waiver(result: GateResult) -> list[tuple[str, str]]:
    waiver = result.gate.waiver
    if waiver is None:
        return []
    granted = f", granted by {waiver.owner}" if waiver.owner else ""
    return [("waiver", f"{result.waiver}, until {waiver.until} by {waiver.by}{granted}: {waiver.reason}")]


def _paired(comparison: Comparison) -> list[tuple[str, str]]:
    flips = comparison.flips
    return [
        ("candidate", numbers.number(comparison.candidate)),
        ("baseline", numbers.number(comparison.baseline)),
        ("regression", regression(comparison)),
        ("compared", matching(comparison)),
        *([("flips", f"{flips.worse} worse, {flips.better} better")] if flips is not None else []),
        *([("test", comparison.test)] if comparison.test else []),
        *([("detectable", numbers.number(comparison.detectable))] if comparison.detectable is not None else []),
    ]


def lost(metric: Metric) -> str:
    """How many cases gave no usable row, and how many are excluded because the probe does not apply to them."""
    if not metric.excluded:
        return str(metric.missing)
    return _("{missing}, {excluded} excluded", missing=metric.missing, excluded=metric.excluded)


def metric_notes(metric: Metric) -> list[str]:
    """Cautions to print beside a metric."""
    notes = [plain(retold(metric.note))] if metric.note else []
    if metric.value is not None and metric.low is None and metric.high is None:
        notes.append(_("no interval: no gate can decide on it"))
    if metric.control is not None and metric.control.note:
        notes.append(plain(_("control: {what}", what=retold(metric.control.note))))
    return notes


def section_notes(section: ProbeSection) -> list[tuple[str, str]]:
    """Cautions of a probe's metrics, each said once: the metrics it is about, and the note; in their order."""
    noted: dict[str, list[str]] = {}
    for line in section.lines:
        for note in metric_notes(line.metric):
            noted.setdefault(note, []).append(line.name)
    return [("" if len(names) == len(section.lines) > 1 else ", ".join(names), note) for note, names in noted.items()]


def training(manifest: AuditManifest) -> str:
    """How the checkpoint was trained, as its manifest claims, and whether the claim follows from its ledger."""
    checkpoint = manifest.checkpoint
    return plain(claim.training_line(checkpoint.training, has_manifest=Need.TRAINING_MANIFEST in checkpoint.offers))


def provenance(report: ReportInput) -> list[tuple[str, str]]:
    """Label and text of what was audited, under which policy, and (above `summary`) all it takes to do it again."""
    manifest = report.manifest
    checkpoint = manifest.checkpoint
    entries = [
        (_("audit"), f"{manifest.name} ({manifest.audit_id})"),
        (_("status"), _(str(manifest.status)) + (f": {manifest.why}" if manifest.why else "")),
        (_("created"), manifest.created),
        (_("finished"), manifest.finished or _("not finished")),
        (_("checkpoint"), checkpoint.source),
        *_base(manifest),
        (
            _("architecture"),
            _(
                "{architecture}, {n:,} parameters",
                architecture=checkpoint.architecture or checkpoint.model_type,
                n=checkpoint.parameters,
            ),
        ),
        (_("checkpoint fingerprint"), checkpoint.fingerprint),
        *((_("permission"), permission) for permission in checkpoint.permissions),
        (_("isolation"), checkpoint.isolation or _("not recorded")),
        (_("scan"), manifest.scan.headline if manifest.scan else _("not made")),
        (_("training"), training(manifest)),
        (_("policy"), _policy(report)),
        *([(_("baseline"), baseline_line(report))] if report.verdict.baseline is not None else []),
        *([(_("decided on"), f"{report.verdict.decided_on}")] if report.verdict.decided_on is not None else []),
        (_("spec digest"), manifest.spec_digest),
        *(_settings(manifest) if report.level is not Level.SUMMARY else []),
        (_("level of disclosure"), report.level),
        *([(_("masked"), masked_line(report.masked))] if any(report.masked.values()) else []),
    ]
    return [(label, plain(text)) for label, text in entries]


def _base(manifest: AuditManifest) -> list[tuple[str, str]]:
    """The full model that an adapter was added to, where the user named it."""
    named = manifest.spec.get("checkpoint", {}).get("base")
    if not named:
        return []
    return [(_("base"), _("{checkpoint} (given by the user; the fingerprint covers it)", checkpoint=named))]


def masked_line(masked: Mapping[str, int]) -> str:
    """What was masked, in words, e.g. `e-mail address (2)`; '' for nothing."""
    return _(", ").join(_("{kind} ({n})", kind=_(kind), n=n) for kind, n in sorted(masked.items()) if n)


def direction(metric: Metric) -> str:
    """Which way is better, in a word or two."""
    if metric.better is Better.TARGET:
        return _("target") if metric.target is None else _("target {value}", value=numbers.bound(metric.target))
    return {Better.HIGHER: _("higher"), Better.LOWER: _("lower")}.get(metric.better, _("neither"))


def _line(metric: Metric, gates: tuple[GateResult, ...]) -> MetricLine:
    bounded = metric.low is not None or metric.high is not None
    return MetricLine(
        metric=metric,
        name=_with_slice(metric.key.rpartition("/")[2], metric.slice),
        value=numbers.number(metric.value),
        interval=numbers.interval(metric.low, metric.high),
        method=method(metric) if bounded else "",
        unit=plain(told(metric.unit)),
        direction=direction(metric),
        gates=gates_on(metric, gates),
        control=None if metric.control is None else control_line(metric.control),
    )


def control_line(control: Control) -> ControlLine:
    """A control as every report and the dashboard say it."""
    return ControlLine(
        name=plain(_("control: {what}", what=told(control.what))),
        value=numbers.number(control.value),
        interval=numbers.interval(control.low, control.high),
        n=control.n,
    )


def method(metric: Metric) -> str:
    """How its interval was made, and its level."""
    named = plain(retold(metric.interval)) or _("method not stated")
    if metric.interval == PROVEN:
        return named
    return _("{method}, {level}", method=named, level=numbers.percent(metric.level))


def _by_regression(comparison: Comparison) -> tuple[bool, float]:
    """Proven first, then by the size of the regression beside the baseline's value."""
    if comparison.regression is None:
        return True, math.inf
    scale = abs(comparison.baseline or 0) or 1.0
    return not (comparison.low is not None and comparison.low > 0), -(comparison.regression / scale)


def _with_slice(name: str, part: str) -> str:
    return plain(f"{name} [{part}]" if part else name)


def _unplanned(name: str) -> str:
    """Where the metrics of a probe come from that the audit did not plan."""
    return _(_NO_PROBE[name]) if name in _NO_PROBE else _("not planned by this audit")


def _about(about: About | None) -> About | None:
    """The same on one line each, without the full stops that formats set themselves."""
    if about is None:
        return None
    return About(*(plain(text).rstrip(".。") for text in (told(about.summary), about.paper, told(about.cannot_tell))))


def _work(record: ProbeRecord) -> str:
    params = ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in record.params.items())
    if record.available != record.cases:
        said = _("version {version}, {n} of {all} cases", version=record.version, n=record.cases, all=record.available)
    else:
        said = _("version {version}, {n} cases", version=record.version, n=record.cases)
    return plain(f"{said}; {params}" if params else said)


def _cached(manifest: AuditManifest) -> list[tuple[str, str]]:
    """How many answers the models did not give in this audit; nothing where all were given in it."""
    cached = sum(work.cached for work in manifest.work)
    every = cached + sum(work.rows + work.reused for work in manifest.work)
    return [(_("answers from the cache"), _("{n:,} of {all:,}", n=cached, all=every))] if cached else []


def _settings(manifest: AuditManifest) -> list[tuple[str, str]]:
    """What it takes to run the audit again."""
    checkpoint = manifest.checkpoint
    versions = ", ".join(f"{name} {version}" for name, version in manifest.versions.items())
    return [
        (_("weights"), checkpoint.weights),
        (_("config"), checkpoint.config),
        (_("tokenizer"), checkpoint.tokenizer),
        *((_("checkpoint note"), retold(note)) for note in checkpoint.notes),
        *_datasets(manifest),
        *_models(manifest),
        (_("seed"), str(manifest.seed)),
        *_cached(manifest),
        (_("device"), ", ".join((manifest.device or _("unknown"), manifest.dtype or _("unknown dtype")))),
        (_("versions"), versions or _("unknown")),
        (_("git commit"), manifest.git_commit or _("not in a git repository")),
        (_("command"), manifest.command or _("unknown")),
    ]


def _datasets(manifest: AuditManifest) -> list[tuple[str, str]]:
    """One entry per distinct dataset, with the inputs it served."""
    served: dict[tuple[str, str, int, str], list[str]] = {}
    for probe in manifest.probes:
        for name, data in probe.data.items():
            key = (str(data.source.get("source", "?")), data.digest, data.n, data.note)
            served.setdefault(key, []).append(f"{probe.name}:{name}")
    return [
        (
            _("dataset"),
            _(
                "{source}, {n} rows, digest {digest}, for {inputs}",
                source=source,
                n=n,
                digest=digest,
                inputs=", ".join(inputs),
            )
            + (f"; {note}" if note else ""),
        )
        for (source, digest, n, note), inputs in served.items()
    ]


def _models(manifest: AuditManifest) -> list[tuple[str, str]]:
    """One entry per model beside the checkpoint, with the roles it had."""
    served: dict[tuple[str, str, str], list[str]] = {}
    for probe in manifest.probes:
        for role, model in probe.models.items():
            scan = "" if model.scan is None else _("; scan: {found}", found=model.scan.headline)
            served.setdefault((model.source, model.fingerprint, scan), []).append(f"{probe.name}:{role}")
    return [
        (
            _("model"),
            _(
                "{source}, fingerprint {fingerprint}, for {roles}{scan}",
                source=source,
                fingerprint=fingerprint,
                roles=", ".join(roles),
                scan=scan,
            ),
        )
        for (source, fingerprint, scan), roles in served.items()
    ]


def _policy(report: ReportInput) -> str:
    verdict = report.verdict
    if not verdict.policy:
        return _("none")
    return _("{policy}, digest {digest}", policy=verdict.policy, digest=verdict.policy_digest)
