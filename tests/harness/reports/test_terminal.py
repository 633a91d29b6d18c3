from __future__ import annotations

import io
import re
from dataclasses import replace
from typing import Literal

import pytest
from hypothesis import given, settings
from rich.cells import cell_len
from rich.console import Console

from harness.api.metrics import Control
from harness.base.loglines import plain
from harness.gate.decide import decide
from harness.reports import report_input
from harness.reports.content.api import ReportInput
from harness.reports.content.report import OUTCOME_WORDS
from harness.reports.formats.terminal import print_report
from tests.harness.reports.inputs import HOSTILE, by_hand, compared, manifest, metric, reports


def shown(report: ReportInput, width: int = 100, *, colour: bool = False) -> str:
    file = io.StringIO()
    system: Literal["truecolor"] | None = "truecolor" if colour else None
    print_report(Console(file=file, width=width, highlight=False, force_terminal=colour, color_system=system), report)
    return file.getvalue()


def squeezed(text: str) -> str:
    """Without what folding and `inert` add."""
    return re.sub(r"[\s\u200b]", "", text)


@settings(max_examples=25)
@given(reports())
def test_it_shows_the_verdict_it_was_given_on_any_width(report: ReportInput) -> None:
    for width in (80, 100, 400):
        text = shown(report, width)
        words = re.findall(r"^Verdict: (\w+)", text, re.MULTILINE)
        assert words == [OUTCOME_WORDS[report.verdict.outcome]]
        assert max(map(cell_len, text.splitlines())) <= width
        assert "\x1b" not in text
        assert "\u202e" not in text
    assert squeezed(text).endswith(squeezed(plain(report.verdict.reason)))


def test_the_table_has_value_interval_n_and_gate() -> None:
    lines = shown(by_hand()).splitlines()
    rows = {line.split("  ")[1] if line.startswith("  ") else line.strip(): line.split() for line in lines[:9]}
    assert lines[0].split() == ["metric", "value", "interval", "n", "(missing)", "gate"]
    assert rows["flips, rate"][2:] == ["0.2500", "[0.2000,", "0.3000]", "100", "(4)", "PASS", "<=", "0.35"]
    assert rows["flips [gender]"][2:] == ["0.5000", "[0.4000,", "0.6000]", "100", "BLOCK", "<=", "0.35"]
    assert rows["gap"][1:] == ["missing", "none", "0", "INCONCLUSIVE", "<=", "0.1"]
    assert "detail" not in " ".join(lines)
    assert "1 more metric is in the full report" in lines


def test_a_metric_counted_in_what_it_is_called_says_so_once() -> None:
    report = by_hand()
    metrics = tuple(each.model_copy(update={"unit": "flips"}) for each in report.metrics)
    assert "flips, flips" not in shown(replace(report, metrics=metrics))
    assert "gap, flips" in shown(replace(report, metrics=metrics))


def test_excluded_cases_stand_beside_missing_ones() -> None:
    report = by_hand()
    metrics = tuple(metric.model_copy(update={"excluded": 2}) for metric in report.metrics)
    assert "100 (4, 2 excluded)" in shown(replace(report, metrics=metrics))


def test_no_digit_of_a_bound_is_cut_off_at_any_width() -> None:
    """`<= 0.35` printed as `<= 0.3` is another policy."""
    rules = ["PASS<=0.35", "BLOCK<=0.35", "INCONCLUSIVE<=0.1"]
    for width in range(62, 120):
        table = shown(by_hand(), width).split("more metric")[0].splitlines()
        at = table[0].index("gate")
        gates = squeezed("".join(line[at:] for line in table))
        assert max(map(cell_len, table)) <= width
        assert all(rule in gates for rule in rules), (width, gates)


def test_it_says_what_it_cannot_tell_and_what_did_not_run() -> None:
    said = " ".join(shown(by_hand(), 140).split())
    for expected in [
        "toy/share/gap only one group is in the data",
        "other/auc did not finish: the limit of 5 minutes was reached",
        "Source: Somebody 2020. Cannot tell: whether it matters",
        "bias/crows_pairs needs a masked LM",
        "x = y:z ImportError: no y",
        "low-gender: BLOCK the 95 % interval [0.4000, 0.6000]",
        "fair: INCONCLUSIVE other/auc did not finish",
        "Training: claims epsilon <= 7.926 (PRV; PLD 7.926) at delta 1e-05, for each record; "
        "recomputed from its ledger; not covered: the vocab",
        "Verdict: BLOCK (policy release) 1 of 4 gates blocked; low-gender: ",
    ]:
        assert expected in said, expected


def test_colour_adds_nothing_but_colour() -> None:
    coloured = shown(by_hand(), colour=True)
    assert "\x1b[1;31mBLOCK" in coloured
    assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == shown(by_hand())


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_text_is_printed_as_it_is(hostile: str) -> None:
    measured = [metric("toy/share/flips", note=hostile)]
    text = shown(report_input(manifest(["toy/share"], hostile), measured, decide(None, measured)), 400)
    assert squeezed(plain(f"Cannot tell: whether it matters{hostile}").rstrip(".")) in squeezed(text)


def test_an_audit_without_probes_still_has_a_verdict() -> None:
    text = shown(report_input(manifest([]), [], decide(None, [])))
    assert "Training: claims epsilon <= 7.926 (PRV; PLD 7.926)" in text
    assert "Verdict: INCONCLUSIVE\nno policy was given: nothing was decided" in text


def test_a_baseline_is_shown_beside_the_candidate() -> None:
    said = " ".join(shown(compared(), 160).split())
    for expected in [
        "0.8600 -> 0.8100, worse by 0.0500 [0.0300, 0.0700]; 990 pairs, 10 only in the candidate; "
        "flips: 60 worse, 10 better; detectable: 0.0250",
        "no worse: BLOCK no worse is block; to do: train longer",
        "old: BLOCK (waived)",
        "auc: other/auc/auc: BLOCK (warning)",
        "gate 'auc': violated",
        "toy/share 00ff text=[masked: 40 characters]; predicted=1",
    ]:
        assert expected in said, expected


def test_no_line_is_a_command_to_a_runner() -> None:
    hostile = "x\n::set-output name=a::b ##[error]c"
    for width in (40, 80, 100):
        text = shown(replace(compared(), manifest=manifest(["toy/share", hostile], hostile)), width)
        assert not re.search(r"^\s*::", text, re.MULTILINE)
        assert "##[" not in text


def test_a_control_stands_beneath_its_metric() -> None:
    report = by_hand()
    control = Control(what="neutral pairs", value=0.5125, low=0.45, high=0.575, n=240, note="few of them")
    metrics = (report.metrics[0].model_copy(update={"control": control}), *report.metrics[1:])
    lines = shown(replace(report, metrics=metrics)).splitlines()
    at = next(number for number, line in enumerate(lines) if "control: neutral pairs" in line)
    assert "flips, rate" in lines[at - 1]
    assert lines[at].split()[3:] == ["0.5125", "[0.4500,", "0.5750]", "240"]
    assert any("control: few of them" in line for line in lines)


def test_names_break_at_their_joints_and_a_note_is_said_once() -> None:
    names = ["extracted_minus_control_share_per_token", "stereotype_share_loglikelihood_of_all"]
    measured = [metric(f"toy/share/{name}", note="windows of one text are related") for name in names]
    text = shown(report_input(manifest(["toy/share"]), measured, decide(None, measured)), 62)
    words = {word for line in text.splitlines() for word in re.split(r"[_/,\s]+", line)}
    assert {word for name in names for word in name.split("_")} <= words
    assert " ".join(text.split()).count("windows of one text are related") == 1


def test_the_name_of_a_probe_breaks_at_its_joints() -> None:
    measured = [metric("memorization/shadow_attack/auc")]
    probe = report_input(manifest(["memorization/shadow_attack"]), measured, decide(None, measured))
    lines = [line.strip() for line in shown(probe, 62).split("more metric")[0].splitlines()]
    assert "ck" not in lines
    assert {"memorization/shadow_attack", "memorization/"} & set(lines)
