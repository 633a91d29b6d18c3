"""Report inputs for tests: one by hand, and any that hypothesis can think of, hostile texts included."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from harness.claim import ClaimRecord, TrainingRecord
from harness.gate import Gate, GateResult, Outcome, Policy, Verdict, decide
from harness.metrics import Better, Metric
from harness.record import AuditManifest, CheckpointRecord, DatasetRecord, ProbeRecord, Status
from harness.reports import report_input
from harness.reports.api import ReportInput

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</style></svg><a href='javascript:x'>x</a>",
    "{{ 7 * 7 }} {% raw %}",
    "[bold red]not markup[/] [link=https://example.com]x[/link]",
    "[x](https://example.com) ![x](https://example.com/x.png) https://example.com www.example.com",
    "`code` ``more`` | a | b |\n| --- | --- |",
    "\\| \\` trailing \\",
    "# head\n- item\n1. one\n---\n===\n> quote",
    "*bold* _it_ ~~no~~ &lt;b&gt; &#60; $x$",
    "\x1b[2J\x1b]0;title\x07 \r\x08 \u202eesrever \u2028next",
    "x" * 200,
    "",
)


def probe_record(name: str, text: str = "", **keys: Any) -> ProbeRecord:
    source = {"source": f"texts.csv{text}"}
    values = {
        "name": name,
        "version": "1",
        "params": {"k": 3, "word": text},
        "summary": f"Share of texts that flip{text}",
        "paper": f"Somebody 2020{text}",
        "cannot_tell": f"whether it matters{text}",
        "cases": 100,
        "available": 200,
        "cases_digest": "e" * 64,
        "data": {"texts": DatasetRecord(source=source, digest="d" * 64, n=200)},
    }
    return ProbeRecord(**{**values, **keys})


def training(text: str = "") -> TrainingRecord:
    claim = ClaimRecord(
        epsilon=7.9251,
        delta=1e-5,
        accountant="prv",
        second_accountant="pld",
        second_opinion=7.9252,
        unit=f"each record{text}",
        outside=(f"the vocabulary{text}",),
        note=text or None,
    )
    return TrainingRecord(privacy=claim)


def manifest(names: list[str], text: str = "", **keys: Any) -> AuditManifest:
    checkpoint = CheckpointRecord(
        source=f"pypi:model{text}",
        architecture=f"BertForMaskedLM{text}",
        model_type="bert",
        parameters=1234567,
        labels=(),
        offers=("masked LM",),
        weights="a" * 64,
        config="b" * 64,
        tokenizer="c" * 64,
        fingerprint="f" * 64,
        notes=(f"a note{text}",),
        training=training(text),
    )
    values = {
        "audit_id": "20260102T030405Z-toy-ab12",
        "created": "2026-01-02T03:04:05+00:00",
        "finished": "2026-01-02T03:05:05+00:00",
        "status": Status.FINISHED,
        "name": f"toy{text}",
        "spec": {},
        "spec_digest": "9" * 64,
        "checkpoint": checkpoint,
        "probes": tuple(probe_record(name, text) for name in names),
        "not_applicable": {"bias/crows_pairs": f"needs a masked LM{text}"},
        "plugin_errors": {"x = y:z": f"ImportError: no y{text}"},
        "seed": 7,
        "device": "cpu",
        "dtype": "fp32",
        "versions": {"torch": "2.0"},
        "git_commit": "0123456789",
        "command": f"assay run audit.yaml{text}",
    }
    return AuditManifest(**{**values, **keys})


def metric(key: str, **keys: Any) -> Metric:
    values = {"value": 0.25, "low": 0.2, "high": 0.3, "n": 100, "better": Better.LOWER, "interval": "Wilson"}
    return Metric(**{**values, "key": key, **keys})


def by_hand() -> ReportInput:
    """Two probes, one of them unfinished; a metric each way: passing, blocking, undecided, missing, detail only."""
    metrics = [
        metric("toy/share/flips", missing=4, unit="rate"),
        metric("toy/share/flips", value=0.5, low=0.4, high=0.6, slice="gender"),
        metric("toy/share/gap", value=None, low=None, high=None, n=0, note="only one group is in the data"),
        metric("toy/share/detail", headline=False),
        metric("other/auc/auc", value=0.5, low=0.4, high=0.7, better=Better.TARGET, target=0.5, interval="Hoeffding"),
    ]
    gates = [
        {"id": "low", "metric": "toy/share/flips", "max": 0.35, "reason": "promised to users"},
        {"id": "low-gender", "metric": "toy/share/flips", "slice": "gender", "max": 0.35},
        {"id": "fair", "metric": "other/auc/auc", "within": [0.4, 0.6]},
        {"id": "gap", "metric": "toy/share/gap", "max": 0.1},
    ]
    incomplete = {"other/auc": "the limit of 5 minutes was reached"}
    policy = Policy.model_validate({"name": "release", "gates": gates})
    record = manifest(["toy/share", "other/auc"], incomplete=incomplete)
    return report_input(record, metrics, decide(policy, metrics, incomplete=incomplete))


TEXTS = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=12))
WORDS = st.one_of(st.just("share"), TEXTS)
NUMBERS = st.one_of(st.floats(-2, 2), st.floats(-1e300, 1e300))


@st.composite
def metrics(draw: st.DrawFn) -> Metric:
    key = f"{draw(st.sampled_from(['toy/share', 'toy/other', 'un/planned']))}/{draw(WORDS)}"
    low, high = sorted((draw(NUMBERS), draw(NUMBERS)))
    value = draw(st.none() | NUMBERS)
    return Metric(
        key=key,
        value=value,
        low=draw(st.just(low) | st.none()),
        high=draw(st.just(high) | st.none()),
        n=draw(st.integers(0, 10**6)),
        missing=draw(st.integers(0, 9)),
        unit=draw(TEXTS),
        better=draw(st.sampled_from(Better)),
        interval=draw(TEXTS),
        headline=draw(st.booleans()),
        slice=draw(TEXTS),
        note=draw(TEXTS) if value is not None else f"because {draw(TEXTS)}",
    )


@st.composite
def gate_results(draw: st.DrawFn, *, measured: list[Metric]) -> GateResult:
    """A result that need not follow from the metrics: a report renders what was decided, whatever that is."""
    about = draw(st.sampled_from(measured)) if bool(measured) and draw(st.booleans()) else None
    limit = draw(NUMBERS)
    rule: dict[str, Any] = draw(st.sampled_from([{"min": limit}, {"max": limit}, {"within": (limit, limit)}]))
    gate = Gate.model_validate(
        {
            "id": f"g{draw(TEXTS)}",
            "metric": about.key if about else draw(WORDS),
            "slice": about.slice if about else draw(TEXTS),
            "reason": draw(TEXTS),
            **rule,
        }
    )
    outcome = draw(st.sampled_from(Outcome))
    return GateResult(
        gate=gate, outcome=outcome, reason=draw(TEXTS), value=draw(st.none() | NUMBERS), n=draw(st.just(3))
    )


@st.composite
def reports(draw: st.DrawFn) -> ReportInput:
    """Any report: metrics with and without values, a verdict that follows from nothing, hostile texts everywhere."""
    measured = draw(st.lists(metrics(), max_size=5))
    verdict = Verdict(
        outcome=draw(st.sampled_from(Outcome)),
        reason=f"because {draw(TEXTS)}",
        gates=tuple(draw(st.lists(gate_results(measured=measured), max_size=4))),
        policy=draw(TEXTS),
        policy_digest="d" * 64,
    )
    text = draw(TEXTS)
    record = manifest(["toy/share", "toy/other"], text, incomplete={"toy/other": f"out of time{draw(TEXTS)}"})
    return report_input(record, measured, verdict)
