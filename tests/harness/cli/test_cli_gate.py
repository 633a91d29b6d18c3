"""`assay gate` with a baseline and a ratchet, and `assay plan` with a policy."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from harness.audit.plan_summary import PlanSummary
from harness.cli.console import console
from tests.harness.baseline.two_audits import ACCURACY, answers, make_audit
from tests.harness.cli.test_cli import call
from tests.tiny import make_checkpoint


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two audits, the newer one much worse, and a policy that compares them."""
    monkeypatch.chdir(tmp_path)
    theirs = answers(300, 0.95, 0)
    make_audit(tmp_path / "audits" / "20260101T000000Z-old-aaaa", theirs)
    make_audit(tmp_path / "audits" / "20260102T000000Z-new-bbbb", theirs & answers(300, 0.85, 1))
    (tmp_path / "policy.yaml").write_text(
        f"name: p\ngates:\n- {{id: kept, metric: {ACCURACY}, baseline: {{max_regression: 0.02}}}}\n"
        f"- {{id: accurate, metric: {ACCURACY}, min: 0.5}}  # for a start\n"
    )
    return tmp_path


def test_a_regression_blocks(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    gate = ["gate", "latest", "--policy", "policy.yaml"]
    code, out, _ = call(monkeypatch, capsys, *gate, "--baseline", "20260101T000000Z-old-aaaa")
    assert code == 1
    assert "of the regression of quality/classification/accuracy" in " ".join(out.split())
    assert call(monkeypatch, capsys, *gate)[0] == 3  # no baseline


def test_the_ratchet_writes_a_diff_on_a_pass_alone(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = "20260101T000000Z-old-aaaa", "20260102T000000Z-new-bbbb"
    words = ["--policy", "policy.yaml", "--ratchet", "tighter.diff"]
    code, out, _ = call(monkeypatch, capsys, "gate", new, *words, "--baseline", old)
    assert (code, "ratchet    unchanged: the verdict is block" in out) == (1, True)
    assert not (home / "tighter.diff").exists()
    before = (home / "policy.yaml").read_text()
    code, out, _ = call(monkeypatch, capsys, "gate", old, *words, "--baseline", new)
    assert code == 0
    assert "git apply tighter.diff" in out
    diff = (home / "tighter.diff").read_text()
    assert f"-- {{id: accurate, metric: {ACCURACY}, min: 0.5}}  # for a start" in diff
    assert (home / "policy.yaml").read_text() == before


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--baseline", "nowhere"], "baseline 'nowhere': no such folder"),
        (["--baseline", "audits"], "not an audit"),
    ],
)
def test_a_baseline_that_is_none_is_one_sentence(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], why: str
) -> None:
    code, _, err = call(monkeypatch, capsys, "gate", "latest", "--policy", "policy.yaml", *words)
    assert (code, why in err, len(err.strip().splitlines())) == (2, True, 1)


def test_other_data_need_the_users_word(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_audit(home / "other", answers(300, 0.9, 0), digest="f" * 64)
    words = ["gate", "latest", "--policy", "policy.yaml", "--baseline", "other"]
    code, _, err = call(monkeypatch, capsys, *words)
    assert (code, "--allow-other-data" in err) == (2, True)
    assert call(monkeypatch, capsys, *words, "--allow-other-data")[0] in (0, 1, 3)


def test_the_plan_says_which_gates_it_can_decide(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_checkpoint(home / "bert", "bert", "classifier")
    rows = [{"text": f"a text about number {at}", "label": at % 2} for at in range(60)]
    pd.DataFrame(rows).to_json(home / "data.jsonl", orient="records", lines=True)
    (home / "audit.yaml").write_text(
        "checkpoint: bert\nprobes: [quality/classification]\ndata: {examples: data.jsonl}\noutput: audits\n"
    )
    (home / "plan.yaml").write_text(
        f"name: p\ngates:\n- {{id: accurate, metric: {ACCURACY}, min: 0.7}}\n"
        f"- {{id: never wrong, metric: {ACCURACY}, min: 0.99}}\n"
        "- {id: calibrated, metric: quality/classification/ece, max: 0.5}\n"
    )
    words = ["plan", "audit.yaml", "--policy", "plan.yaml"]
    monkeypatch.setattr(console, "width", 300)
    code, out, err = call(monkeypatch, capsys, *words)
    assert code == 0, err
    text = " ".join(out.split())
    assert "accurate >= 0.7 60 yes 644 passes at >= 0.862" in text
    assert "never wrong >= 0.99 60 no" in text
    assert "calibrated <= 0.5 60 unknown unknown" in text
    text = " ".join(call(monkeypatch, capsys, *words, "--like", "latest")[1].split())
    assert "calibrated <= 0.5 60 yes" in text
    code, out, err = call(monkeypatch, capsys, *words, "--json")
    assert code == 0, err
    told = PlanSummary.model_validate_json(out)
    (probe,) = told.probes
    assert (probe.name, probe.cases, probe.available, probe.data) == (
        "quality/classification",
        60,
        60,
        {"examples": 60},
    )
    assert probe.tokens > 60
    assert [(each.gate, each.can_decide, each.needed) for each in told.gates] == [
        ("accurate", True, 644),
        ("never wrong", False, 2608),
        ("calibrated", None, None),
    ]
