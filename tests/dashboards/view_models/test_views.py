from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from html import escape
from pathlib import Path

import pandas as pd
import pytest

from dashboards.audits import Audit, Entry, merge, open_audit, read_entry
from dashboards.charts import SHARES, by_suite, chart_data, metric_chart
from dashboards.view_models import views
from harness.api.metrics import PROVEN, Better, Control, Metric, missing_metric
from harness.errors import AssayError
from harness.gate.decide import Policy, Verdict, decide
from harness.gate.verdict import BaselineRecord, Comparison
from harness.record.events import EVENTS, EventLog
from harness.record.folder import AuditFolder, Status
from harness.reports.content import report as content
from harness.tracking.fetch import TrackedAudit
from tests.audit_folder import HOSTILE, make_audit


@pytest.fixture
def audit(tmp_path: Path) -> Audit:
    entry = read_entry(make_audit(tmp_path))
    assert entry.audit is not None
    return entry.audit


def run_of(audit_id: str) -> TrackedAudit:
    return TrackedAudit("run", audit_id, "n", "2026-01-01T00:00:00+00:00", "c", "finished", "pass", "why", {}, "now")


def test_an_audit_in_both_places_appears_once_and_the_folder_wins(audit: Audit) -> None:
    local = Entry(audit.manifest.audit_id, audit)
    merged = merge(
        [local, Entry("1-bad", damage="torn")], [run_of(audit.manifest.audit_id), run_of("1-bad"), run_of("9")]
    )
    assert [entry.audit_id for entry in merged] == ["9", audit.manifest.audit_id, "1-bad"]
    assert merged[1] is local
    assert merged[2].tracked is not None
    table = views.audit_table(merged)
    assert list(table["where"]) == ["MLflow", "folder", "MLflow, its folder is damaged"]


def test_a_damaged_audit_cannot_be_opened() -> None:
    with pytest.raises(AssayError, match="torn"):
        open_audit(Entry("1-bad", damage="torn"), None)


def test_a_damaged_tracking_note_does_not_damage_the_audit(audit: Audit) -> None:
    (audit.folder / "tracking.json").write_text("{", encoding="utf-8")
    entry = read_entry(type(make_audit(audit.folder.parent / "other"))(audit.folder))
    assert entry.audit is not None
    assert entry.audit.tracking == {}


@pytest.mark.parametrize("name", ["metrics.json", "verdict.json"])
def test_damaged_results_are_damage(audit: Audit, name: str) -> None:
    from harness.record.folder import AuditFolder

    (audit.folder / name).write_text("[{}]", encoding="utf-8")
    assert read_entry(AuditFolder(audit.folder)).damage != ""


def test_gates_are_told_gravest_first(audit: Audit) -> None:
    assert audit.verdict is not None
    table = views.gate_table(audit.verdict)
    assert [cell.split("-")[0] for cell in table["outcome"]] == [":red", ":orange", ":orange", ":orange", ":green"]
    assert "purpose" not in table
    policy = Policy.model_validate({"name": "p", "gates": [{"id": "a", "metric": "s/p/m", "max": 1, "reason": "law"}]})
    assert list(views.gate_table(decide(policy, []))["purpose"]) == ["law"]


TODAY = date(2026, 11, 1)


def decided(metrics: list[Metric], **gate: object) -> Verdict:
    """The verdict of one gate."""
    policy = Policy.model_validate({"name": "p", "gates": [{"id": "g", "min_examples": 1, **gate}]})
    return decide(policy, metrics, today=TODAY)


def metric(key: str, value: float) -> Metric:
    return Metric(key=key, value=value, low=value - 0.05, high=value + 0.05, n=500, better=Better.LOWER)


def test_a_gate_with_a_pattern_stands_beside_every_metric_it_decided() -> None:
    metrics = [metric("adversarial/a/success", 0.9), metric("adversarial/b/success", 0.1), metric("bias/c/gap", 0.1)]
    verdict = decided(metrics, metric="adversarial/*/success", max=0.5)
    table = views.metric_table(metrics, verdict)
    assert list(table["gate"]) == ["✖ block", "✔ pass", ""]
    named = [f"g: adversarial/{probe}/success" for probe in "ab"]
    assert list(views.gate_table(verdict)["gate"]) == [views.plain(each) for each in named]
    (data,) = chart_data(metrics, verdict)
    assert list(data.points["outcome"]) == ["✖ block", "✔ pass", "no gate"]
    assert list(data.bounds["metric"]) == ["adversarial/a/success", "adversarial/b/success"]


def test_a_chart_has_the_baselines_value_and_names_short_of_what_all_share() -> None:
    metrics = [metric("s/p/a", 0.9), metric("s/p/b", 0.1)]
    verdict = decided(metrics, metric="s/p/*", max=0.5)
    compared = [
        Comparison(metric=f"s/p/{key}", slice=part, baseline=value)
        for key, part, value in (("a", "", 0.0), ("a", "x", 0.3), ("b", "", None))
    ]
    first = verdict.gates[0].model_copy(update={"comparison": compared[0]})
    others = [verdict.gates[0].model_copy(update={"comparison": each}) for each in compared]
    verdict = verdict.model_copy(update={"gates": (first, *others)})
    (data,) = chart_data(metrics, verdict, "s")
    assert data.baselines.to_dict("records") == [{"metric": "p/a", "value": 0.0, "shown": "0"}]
    assert list(data.points["metric"]) == ["p/a", "p/b"]
    assert set(data.bounds["metric"]) == {"p/a"}
    assert metric_chart(data, label="").count('class="ring"') == 1
    assert {suite: len(mine) for suite, mine in by_suite([*metrics, metric("t/p/a", 1.0)]).items()} == {"s": 2, "t": 1}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"severity": "warn"}, "✔ pass: block (warning)"),
        ({"waiver": {"until": "2026-11-20", "by": "ana", "reason": "known"}}, "✔ pass: block (waived)"),
    ],
)
def test_what_does_not_count_is_no_red_block_in_a_passing_audit(more: dict[str, object], said: str) -> None:
    metrics = [metric("s/p/m", 0.9)]
    verdict = decided(metrics, metric="s/p/m", max=0.5, **more)
    assert verdict.outcome == "pass"
    assert list(views.metric_table(metrics, verdict)["gate"]) == [said]
    assert list(views.gate_table(verdict)["outcome"]) == [f":green-badge[{said}]"]
    assert list(chart_data(metrics, verdict)[0].points["outcome"]) == ["✔ pass"]


def test_the_baseline_is_shown_as_reports_show_it(audit: Audit) -> None:
    assert audit.verdict is not None
    record = BaselineRecord(ref="@x", audit_id="a", name="n", created="c", checkpoint="k", fingerprint="f")
    compared = Comparison(metric="s/p/m", candidate=0.5, baseline=0.4, difference=0.1, regression=0.1, low=0.02,
                          high=0.2, n=90)  # fmt: skip
    gate = audit.verdict.gates[0].model_copy(update={"comparison": compared})
    verdict = audit.verdict.model_copy(update={"gates": (gate,), "baseline": record})
    (line,) = views.baseline_table(replace(audit, verdict=verdict)).to_dict("records")
    assert line["worse by"] == views.plain(content.regression(compared))
    assert "90 pairs" in line["compared"]


def test_a_missing_value_says_why_and_is_never_a_number(audit: Audit) -> None:
    line = views.metric_table(audit.metrics, audit.verdict).set_index("metric").loc["memorization/membership/auc"]
    assert line["value"] == "missing: no non-members are recorded"
    assert line["interval"] == "none"
    assert line["missing"] == 40


def test_metrics_carry_interval_method_and_gate(audit: Audit) -> None:
    table = views.metric_table(audit.metrics, audit.verdict).set_index("metric")
    assert table.loc["adversarial/deepwordbug/attack_success", "gate"] == "✖ block"
    assert table.loc["quality/classification/accuracy [positive]", "gate"] == ""
    assert table.loc["quality/classification/accuracy", "method"] == "Clopper-Pearson, 95 %"
    assert table.loc["quality/classification/nll", "value"] == "0.4100 nats"


def test_cautions_name_everything_that_weakens_the_numbers(audit: Audit) -> None:
    kinds = {caution.kind: caution for caution in views.cautions(audit)}
    assert set(kinds) == {
        "incomplete",
        "missing number",
        "missing cases",
        "texts cut",
        "checkpoint",
        "not applicable",
        "plug-in not loaded",
    }
    assert kinds["missing cases"].why == "2 planned cases gave no usable row"
    assert kinds["texts cut"].why.startswith("2 of 40 texts")


def test_excluded_cases_are_said_once_per_probe(audit: Audit) -> None:
    metrics = tuple(metric.model_copy(update={"excluded": 3}) for metric in audit.metrics)
    found = [each for each in views.cautions(replace(audit, metrics=metrics)) if each.kind == "excluded cases"]
    assert sorted(each.where for each in found) == sorted({metric.key.rpartition("/")[0] for metric in metrics})
    assert all(each.why.startswith("it does not apply to 3 planned cases") for each in found)


def test_provenance_names_digests_and_data(audit: Audit) -> None:
    facts = dict(views.provenance(audit))
    assert views.provenance(audit) == content.provenance(views.as_report(audit))  # one truth
    assert facts["checkpoint fingerprint"] == audit.manifest.checkpoint.fingerprint
    data = [fact for what, fact in views.provenance(audit) if what == "dataset"]
    assert any(audit.manifest.probes[0].data["texts"].digest in fact for fact in data)
    assert "torch 2.13.0" in facts["versions"]
    assert "MLflow run" not in facts


def test_fields_of_a_row() -> None:
    row = {
        "error": None,
        "score": float("nan"),
        "n": 0,
        "tags": ["a"],
        "raw": '{"b": 1}',
        "text": "[not json",
        "long": "x" * 61,
    }
    fields = {field.name: (field.kind, field.text) for field in views.row_fields(row)}
    assert fields["error"] == ("missing", "missing: no error")
    assert fields["score"] == ("missing", "missing: not recorded")
    assert fields["n"] == ("short", "0")
    assert fields["tags"] == ("json", '[\n  "a"\n]')
    assert fields["raw"] == ("json", '{\n  "b": 1\n}')
    assert fields["text"] == ("short", "[not json")
    assert fields["long"][0] == "text"


def test_masking_hides_texts_and_keeps_the_rest() -> None:
    frame = pd.DataFrame({"case_id": ["a"], "text": ["secret"], "n": [3]})
    assert views.mask(frame, ["text"]).to_dict("list") == {
        "case_id": ["a"],
        "text": ["hidden (6 characters)"],
        "n": [3],
    }
    assert frame["text"].iloc[0] == "secret"
    assert views.mask_row({"case_id": "a", "text": "secret", "n": 3}, ["case_id"]) == {
        "case_id": "a",
        "text": "hidden (6 characters)",
        "n": 3,
    }
    assert views.mask(pd.DataFrame({"texts": ['["secret"]', "a"]}), ["texts"])["texts"].tolist() == [
        "hidden (10 characters)",
        "hidden (1 characters)",
    ]
    held = {"texts": ["secret"], "said": {"by": "me"}, "raw": b"secret", "none": None, "kept": [0.5]}
    assert views.mask_row(held, ["kept"]) == {
        "texts": "hidden (10 characters)",
        "said": "hidden (12 characters)",
        "raw": "hidden (6 bytes)",
        "none": None,
        "kept": [0.5],
    }


def test_an_error_column_is_shown_where_there_is_an_error() -> None:
    rows = pd.DataFrame({"case_id": ["a", "b"], "error": ["broke", None]})
    assert list(views.tidy_errors(rows)["error"]) == ["broke", ""]
    assert list(views.tidy_errors(rows.iloc[1:]).columns) == ["case_id"]


def test_plain_leaves_no_markdown() -> None:
    escaped = views.plain(HOSTILE + "\n# x :red[y] $z$ http://a.b")
    assert "\n" not in escaped
    for sign in "<>*[]():#$=/.":
        assert escaped.count(sign) == escaped.count("\\" + sign)


def test_plain_leaves_nothing_that_turns_the_words_around_it() -> None:
    assert views.plain("a\u202eb\u2066c\x07d") == "abc d"
    assert views.plain("שלום ✖") == "שלום ✖"


@pytest.mark.parametrize("value", ["a -> b", "--", "n <= 3", "a  b", "a\u202eb", "\x07", "x\n"])
def test_a_value_of_a_row_that_a_line_would_show_otherwise_stands_as_it_is(value: str) -> None:
    (field,) = views.row_fields({"text": value})
    assert (field.kind, field.text) == ("text", value)


def test_a_list_that_a_browser_would_choke_on_is_cut_too() -> None:
    fields = views.row_fields({"list": [{"n": n} for n in range(10_000)], "deep": "[" * 100_000})
    assert [field.kind for field in fields] == ["text", "text"]
    assert all("characters in all" in field.text for field in fields[:1])
    assert all(len(field.text) < 101_000 for field in fields)


def test_shares_get_one_axis_and_other_units_their_own(audit: Audit) -> None:
    data = chart_data(audit.metrics, audit.verdict)
    assert [group.title for group in data] == [SHARES, "nats", "queries"]
    assert "memorization/membership/auc" not in set(data[0].points["metric"])
    limits = dict(zip(data[0].bounds["metric"], data[0].bounds["bound"], strict=True))
    assert limits["adversarial/deepwordbug/attack_success"] == 0.3
    assert set(data[0].points["outcome"]) == {"✔ pass", "✖ block", "? inconclusive", "no gate"}


def test_charts_draw_intervals_and_limits(audit: Audit) -> None:
    data = chart_data(audit.metrics, audit.verdict)
    shares, nats, _ = (metric_chart(each, label="") for each in data)
    assert [drawn.count('class="limit"') for drawn in (shares, nats)] == [len(data[0].bounds), 0]
    assert [drawn.count('class="whisker') for drawn in (shares, nats)] == [len(each.points) for each in data[:2]]
    assert escape(data[0].bounds["rule"][0]) in shares
    assert re.findall(r'class="axis">.*?>([\d.]+)<', shares) == ["0"]


def test_a_chart_of_one_exact_number_has_room_beside_it() -> None:
    exact = Metric(key="s/p/m", value=0.0, n=5, unit="nats", better=Better.LOWER)
    missing = missing_metric("s/p/gone", "no rows", better=Better.LOWER)
    (data,) = chart_data([exact, missing], None)
    drawn = metric_chart(data, label="")
    assert 'class="dot circle" style="left:0.00%' in drawn
    assert [">0<" in drawn, ">1<" in drawn] == [True, True]


def test_what_cannot_be_negative_has_no_axis_below_nothing() -> None:
    one = Metric(key="q/p/perplexity", value=80.0, low=9.0, high=950.0, n=5, better=Better.LOWER)
    (data,) = chart_data([one], None)
    drawn = metric_chart(data, label="")
    assert 'style="left:0.00%">0<' in drawn
    assert re.findall(r'class="whisker of-circle" style="left:([\d.]+)%;width:([\d.]+)%', drawn)[0] < ("1", "99")


@pytest.mark.parametrize("value", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("unit", ["findings", ""])
def test_a_count_shares_no_axis_with_shares(value: float, unit: str) -> None:
    """An audit of before has no unit there."""
    ends = {"low": value, "high": value, "interval": PROVEN, "better": Better.LOWER}
    found = Metric(key="scan/checkpoint/findings", value=value, n=9, unit=unit, **ends)
    bounded = Metric(key="s/p/words", value=value, n=9, better=Better.LOWER, bounds=(0.0, 100.0))
    share = Metric(key="s/p/rate", value=0.5, n=9, better=Better.LOWER, bounds=(0.0, 1.0))
    titles = [data.title for data in chart_data([found, bounded, share], None)]
    assert titles == [SHARES, unit or found.key, bounded.key]


@pytest.mark.parametrize(
    ("low", "high", "arrows"), [(8.9, None, ["→"]), (None, 80.0, ["←"]), (8.9, 80.0, []), (None, None, [])]
)
def test_an_interval_without_an_end_has_an_arrow_there(
    low: float | None, high: float | None, arrows: list[str]
) -> None:
    one = Metric(key="q/p/perplexity", value=74.8, low=low, high=high, n=12, better=Better.LOWER)
    (data,) = chart_data([one], None)
    assert re.findall(r'class="open"[^>]*>(.)<', metric_chart(data, label="")) == arrows


def test_an_unfinished_audit_says_how_far_it_is(audit: Audit) -> None:
    folder = AuditFolder(audit.folder)
    folder.write_manifest(audit.manifest.model_copy(update={"status": Status.RUNNING}))
    log = EventLog(audit.folder)
    log.progress("a/b", 0, 9)
    log.metrics([Metric(key="a/b/c", value=0.25, n=4, better=Better.LOWER)], final=False)
    log.progress("a/b", 4, 9, now=True)
    entry = read_entry(folder)
    assert entry.audit is not None
    progress, metric = views.running(entry.audit.events)
    assert progress.startswith("a/b: 4 of 9 cases, 20")
    assert metric == "a/b/c: 0.2500 so far, over 4"
    (audit.folder / EVENTS).write_text("no event\n")
    damaged = read_entry(folder).audit
    assert damaged is not None
    assert views.running(damaged.events) == []


def test_a_control_stands_beside_the_value(audit: Audit) -> None:
    assert "control" not in views.metric_table(audit.metrics, audit.verdict)
    control = Control(what="neutral pairs", value=0.5125, low=0.45, high=0.575, n=240)
    metrics = [metric.model_copy(update={"control": control}) for metric in audit.metrics[:1]]
    line = views.metric_table([*metrics, *audit.metrics[1:]], audit.verdict).iloc[0]
    assert line["control"] == "0.5125 [0.4500, 0.5750], n 240 (neutral pairs)"
    gone = Control(what="neutral pairs", value=None, n=0, note="none of its 3 cases has a result: too long")
    metrics = [metric.model_copy(update={"control": gone}) for metric in audit.metrics[:1]]
    line = views.metric_table(metrics, audit.verdict).iloc[0]
    assert line["control"] == "missing: none of its 3 cases has a result: too long (neutral pairs)"
