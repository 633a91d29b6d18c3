"""Report inputs for tests: one by hand, and any that hypothesis can think of, hostile texts included."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from harness.api.metrics import Better, Control, Metric
from harness.gate.decide import Gate, GateResult, Outcome, Policy, Verdict, decide
from harness.gate.policy import Severity
from harness.gate.verdict import BaselineRecord, Comparison, Flips, WaiverState
from harness.provenance.claim import ClaimRecord, TrainingRecord
from harness.provenance.claim_check import ClaimCheck
from harness.record.folder import AuditManifest, CheckpointRecord, DatasetRecord, ProbeRecord, Status
from harness.reports import report_input
from harness.reports.content.api import Example, ReportInput
from harness.reports.content.report import ControlLine, MetricLine, ProbeSection

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
    "]]> <![CDATA[ <?xml?> &amp; \ufffe\uffff \x00\x0b",
    "::error file=a::b\n::set-output name=x::y ##[error]z ::stop-commands::t",
    "<!-- assay-verdict --> --> </details> <!-- /assay-card -->",
    "@octocat #1 GH-2 owner/name#3",
    "{0} {{1}} [a](http://example.com) [b]( c )",
    "mail ann@example.com or +44 20 7946 0958",
    "\N{GRINNING FACE} \U0001f469\u200d\U0001f4bb \u00e9\u0301 \u0627\u0644",
    "---\nmodel-index: null\n---",
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
        check=ClaimCheck.holds(7.9251),
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
        "no_data": {"memorization/membership": f"no records are given{text}"},
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


def controls(value: float | None) -> st.SearchStrategy[Control]:
    """A control of this value, of any name."""
    return st.builds(Control, what=TEXTS.filter(bool), value=st.just(value), n=st.integers(0, 9), note=st.just("so"))


def lines_shown(section: ProbeSection) -> list[MetricLine | ControlLine]:
    """The rows of a table: each metric, beneath it its control."""
    return [each for line in section.lines for each in (line, line.control) if each is not None]


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
        control=draw(st.none() | controls(value)),
    )


@st.composite
def comparisons(draw: st.DrawFn, *, key: str, part: str) -> Comparison:
    """Any comparison, a baseline of zero and one that could not be compared included."""
    worse, better = draw(st.integers(0, 9)), draw(st.integers(0, 9))
    ids = st.lists(st.one_of(st.just("00ff"), TEXTS), max_size=3).map(tuple)
    value = draw(st.none() | NUMBERS)
    return Comparison(
        metric=key,
        slice=part,
        candidate=draw(st.none() | NUMBERS),
        baseline=draw(st.none() | st.just(0.0) | NUMBERS),
        difference=value,
        regression=value,
        low=draw(st.none() | NUMBERS),
        high=draw(st.none() | NUMBERS),
        test=draw(TEXTS),
        n=draw(st.integers(0, 10**6)),
        unusable=draw(st.integers(0, 2)),
        only_candidate=draw(st.integers(0, 2)),
        only_baseline=draw(st.integers(0, 2)),
        detectable=draw(st.none() | NUMBERS),
        flips=draw(st.none() | st.builds(Flips, worse=st.just(worse), better=st.just(better), worse_ids=ids)),
        note=draw(TEXTS),
    )


@st.composite
def gate_results(draw: st.DrawFn, *, measured: list[Metric]) -> GateResult:
    """A result that need not follow from the metrics: a report renders what was decided, whatever that is."""
    about = draw(st.sampled_from(measured)) if bool(measured) and draw(st.booleans()) else None
    limit = draw(NUMBERS)
    compared = draw(st.booleans())
    bounds: list[dict[str, Any]] = [{"min": limit}, {"max": limit}, {"within": (limit, limit)}, {"measured": True}]
    rule: dict[str, Any] = draw(st.sampled_from([{"baseline": {"max_regression": 0.1}}] if compared else bounds))
    waived = draw(st.booleans())
    answer = {"until": "2026-01-02", "by": f"by {draw(TEXTS)}", "reason": f"for {draw(TEXTS)}"}
    key, part = (about.key, about.slice) if about else (draw(WORDS), draw(TEXTS))
    gate = Gate.model_validate(
        {
            "id": f"g{draw(TEXTS)}",
            "metric": key,
            "slice": part,
            "reason": draw(TEXTS),
            "severity": draw(st.sampled_from(Severity)),
            "waiver": answer if waived else None,
            **rule,
        }
    )
    low, high = sorted((draw(NUMBERS), draw(NUMBERS)))
    return GateResult(
        gate=gate,
        outcome=draw(st.sampled_from(Outcome)),
        effective=draw(st.sampled_from(Outcome)),
        reason=draw(TEXTS),
        value=draw(st.none() | NUMBERS),
        low=draw(st.none() | st.just(low)),
        high=draw(st.none() | st.just(high)),
        n=draw(st.just(3)),
        p=draw(st.none() | st.floats(0, 1)),
        p_corrected=draw(st.none() | st.floats(0, 1)),
        comparison=draw(comparisons(key=key, part=part)) if compared else None,
        waiver=draw(st.sampled_from(WaiverState)) if waived else WaiverState.NONE,
        fix=draw(TEXTS),
    )


@st.composite
def reports(draw: st.DrawFn) -> ReportInput:
    """Any report: metrics with and without values, a verdict that follows from nothing, hostile texts everywhere."""
    measured = draw(st.lists(metrics(), max_size=5))
    text = draw(TEXTS)
    baseline = BaselineRecord(
        ref=f"@{text}",
        audit_id="b",
        name=text,
        created="2026",
        checkpoint=text,
        fingerprint="a" * 64,
        other_data=(text,),
    )
    verdict = Verdict(
        outcome=draw(st.sampled_from(Outcome)),
        reason=f"because {draw(TEXTS)}",
        gates=tuple(draw(st.lists(gate_results(measured=measured), max_size=4))),
        policy=draw(TEXTS),
        policy_digest="d" * 64,
        baseline=draw(st.none() | st.just(baseline)),
        warnings=tuple(draw(st.lists(TEXTS, max_size=2))),
    )
    record = manifest(["toy/share", "toy/other"], text, incomplete={"toy/other": f"out of time{draw(TEXTS)}"})
    shown = [Example("toy/share", draw(TEXTS), ((draw(TEXTS), draw(TEXTS)),)) for _ in range(draw(st.integers(0, 2)))]
    return replace(report_input(record, measured, verdict), examples=tuple(shown))


def compared() -> ReportInput:
    """A release beside its baseline: a proven regression that blocks, a waived one, a warning, an undecided gate."""
    metrics = [
        metric("toy/share/accuracy", value=0.81, low=0.78, high=0.84, better=Better.HIGHER, n=1000),
        metric("toy/share/flips", value=0.31, low=0.28, high=0.34, n=1000),
        metric("other/auc/auc", value=0.62, low=0.58, high=0.66, n=400),
    ]
    common = {"test": "exact sign test", "level": 0.95}
    accuracy = Comparison(
        metric="toy/share/accuracy",
        candidate=0.81,
        baseline=0.86,
        difference=-0.05,
        regression=0.05,
        low=0.03,
        high=0.07,
        n=990,
        only_candidate=10,
        detectable=0.025,
        flips=Flips(worse=60, better=10, worse_ids=("00ff", "01ab"), better_ids=("0c0c",)),
        **common,
    )
    flips = Comparison(
        metric="toy/share/flips",
        candidate=0.31,
        baseline=0.3,
        difference=0.01,
        regression=0.01,
        low=-0.02,
        high=0.04,
        n=1000,
        **common,
    )
    rule = {"max_regression": 0.02}
    waiver = {"until": "2030-01-01", "by": "Ann", "reason": "known since spring"}
    gates = [
        Gate.model_validate({"id": "no worse", "metric": "toy/share/accuracy", "baseline": rule}),
        Gate.model_validate({"id": "flips", "metric": "toy/share/flips", "baseline": rule}),
        Gate.model_validate({"id": "auc", "metric": "other/auc/*", "max": 0.6, "severity": "warn"}),
        Gate.model_validate({"id": "old", "metric": "toy/share/flips", "max": 0.25, "waiver": waiver}),
        Gate.model_validate({"id": "good", "metric": "toy/share/accuracy", "min": 0.7}),
    ]
    results = (
        _decided(gates[0], metrics[0], Outcome.BLOCK, comparison=accuracy, fix="train longer"),
        _decided(gates[1], metrics[1], Outcome.INCONCLUSIVE, comparison=flips),
        _decided(gates[2], metrics[2], Outcome.BLOCK, effective=Outcome.PASS),
        _decided(gates[3], metrics[1], Outcome.BLOCK, effective=Outcome.PASS, waiver=WaiverState.ACTIVE),
        _decided(gates[4], metrics[0], Outcome.PASS),
    )
    verdict = Verdict(
        outcome=Outcome.BLOCK,
        reason="1 of 5 gates blocked; no worse: the regression is proven",
        gates=results,
        policy="release",
        policy_digest="d" * 64,
        baseline=BaselineRecord(
            ref="@production",
            audit_id="20260101T000000Z-old-0000",
            name="old",
            created="2026-01-01",
            checkpoint="models/old",
            fingerprint="a" * 64,
        ),
        warnings=("gate 'auc': violated", "gate 'old' is waived by Ann until 2030-01-01"),
    )
    record = manifest(["toy/share", "other/auc"])
    example = Example("toy/share", "00ff", (("text", "[masked: 40 characters]"), ("predicted", "1")))
    return replace(report_input(record, metrics, verdict), examples=(example,))


def _decided(gate: Gate, about: Metric, outcome: Outcome, **keys: Any) -> GateResult:
    values = {"metric": about.key, "value": about.value, "low": about.low, "high": about.high, "n": about.n}
    return GateResult(gate=gate, outcome=outcome, reason=f"{gate.id} is {outcome}", **{**values, **keys})
