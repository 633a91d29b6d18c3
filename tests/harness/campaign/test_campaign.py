"""A campaign over real little checkpoints: every cell an ordinary audit, differences as a recount of the rows says."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from harness.api.progress import Watch
from harness.audit.plan import AuditPlan
from harness.audit.run import start_audit
from harness.base.lock import Lock
from harness.campaign.result import MARKDOWN, RESULT, CampaignReport
from harness.campaign.run import run_campaign
from harness.campaign.spec import CampaignSpec, load_campaign
from harness.campaign.table import markdown, terminal
from harness.cli import main
from harness.errors import AuditError, UsageError
from harness.record.folder import AuditFolder, Status, audits_in
from harness.stats.paired import mcnemar
from tests.tiny import make_checkpoint

PROBE = "quality/classification"
ACCURACY = f"{PROBE}/accuracy"
CASES = 60
POLICY = {"name": "p", "gates": [{"id": "g", "metric": ACCURACY, "min": 0.0001, "min_examples": 1}]}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("campaign")
    for seed in range(3):
        make_checkpoint(folder / f"model{seed}", "bert", "classifier", seed=seed)
    rows = [{"text": f"text {i} about {i % 7} and {i % 5}", "label": i % 2} for i in range(CASES)]
    pd.DataFrame(rows).to_json(folder / "data.jsonl", orient="records", lines=True)
    return folder


def make_spec(home: Path, output: Path, **keys: Any) -> CampaignSpec:
    checkpoints = {"before": str(home / "model0"), "after": str(home / "model1")}
    audit = {
        "probes": [PROBE],
        "data": {"examples": str(home / "data.jsonl")},
        "tracking": {"uri": "off"},
        "policy": POLICY,
        "device": "cpu",
    }
    return CampaignSpec.model_validate({"checkpoints": checkpoints, "audit": audit, "output": output, **keys})


def cell(report: CampaignReport, metric: str, name: str) -> Any:
    found = next(each for each in report.metrics if each.metric == metric)
    return next(each for each in found.values if each.cell == name)


def rows_of(output: Path, report: CampaignReport, name: str) -> pd.DataFrame:
    folder = next(each.audit for each in report.cells if each.name == name)
    assert folder is not None
    return AuditFolder(output / folder).rows(PROBE).set_index("case_id").sort_index()


@pytest.fixture(scope="module")
def done(home: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, CampaignReport]:
    output = tmp_path_factory.mktemp("done") / "out"
    return output, run_campaign(make_spec(home, output))


def test_the_difference_is_that_of_the_rows(done: tuple[Path, CampaignReport]) -> None:
    output, report = done
    sides = (rows_of(output, report, name) for name in ("before", "after"))
    before, after = ((rows["predicted"] == rows["label"]).astype(bool) for rows in sides)
    change = cell(report, ACCURACY, "after").change
    right, wrong = int((after & ~before).sum()), int((before & ~after).sum())
    assert right + wrong > 0, "two models that answer alike prove nothing"
    assert (change.n, change.became_right, change.became_wrong) == (CASES, right, wrong)
    assert change.difference == pytest.approx(after.mean() - before.mean())
    assert change.low <= change.difference <= change.high
    assert change.p == pytest.approx(min(1.0, 2 * min(mcnemar(wrong, right), mcnemar(right, wrong))))
    assert cell(report, ACCURACY, "before").change is None
    assert cell(report, ACCURACY, "before").value == pytest.approx(before.mean())


def test_every_headline_metric_is_there_and_each_cell_is_an_ordinary_audit(done: tuple[Path, CampaignReport]) -> None:
    output, report = done
    folders = {each.name: AuditFolder(output / str(each.audit)) for each in report.cells}
    assert [folder.manifest().status for folder in folders.values()] == [Status.FINISHED] * 2
    assert [each.verdict for each in report.cells] == ["pass", "pass"]
    for name, folder in folders.items():
        headlines = {one.key: one for one in folder.metrics() if one.headline and not one.slice}
        assert {each.metric for each in report.metrics} == set(headlines)
        for key, metric in headlines.items():
            shown = cell(report, key, name)
            assert (shown.value, shown.low, shown.high, shown.n) == (metric.value, metric.low, metric.high, metric.n)
    assert CampaignReport.model_validate_json((output / RESULT).read_text()) == report
    assert (output / MARKDOWN).read_text() == markdown(report)


def test_a_metric_that_no_row_adds_to_is_compared_too_and_says_how(done: tuple[Path, CampaignReport]) -> None:
    change = cell(done[1], f"{PROBE}/macro_f1", "after").change
    assert change.difference is not None
    assert change.became_right is None
    assert change.low <= change.difference <= change.high


def test_the_table_fits_80_columns_and_no_name_is_markup(done: tuple[Path, CampaignReport]) -> None:
    _, report = done
    console = Console(width=80, record=True, file=None, force_terminal=False)
    with console.capture() as captured:
        console.print(terminal(report))
    lines = captured.get().splitlines()
    assert max(map(len, lines)) <= 80
    row = next(line for line in lines if line.startswith("after"))
    assert "[" in row
    odd = report.model_copy(update={"name": "<b> | [link](http://x)"})
    title = markdown(odd).splitlines()[0]
    assert "<b>" not in title
    assert r"\[link\]" in title


def test_a_second_call_audits_nothing_again_and_new_cells_join(home: Path, done: tuple[Path, CampaignReport]) -> None:
    output, report = done
    before = {path: path.stat().st_mtime_ns for path in output.rglob("*.parquet")}
    models = {"third": "model2", "before": "model0", "after": "model1"}
    checkpoints = {name: str(home / model) for name, model in models.items()}
    more = make_spec(home, output, checkpoints=checkpoints, reference="before")
    said: list[str] = []
    again = run_campaign(more, Watch(said.append))
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert len(list(audits_in(output / "audits"))) == 3
    assert "2 of 3: before: pass, done before" in said
    assert cell(again, ACCURACY, "after") == cell(report, ACCURACY, "after")
    assert cell(again, ACCURACY, "third").change.n == CASES


def test_a_damaged_audit_beside_the_others_costs_no_cell(home: Path, tmp_path: Path) -> None:
    spec = make_spec(home, tmp_path / "out")
    first = run_campaign(spec)
    damaged = tmp_path / "out" / str(first.cells[1].audit)
    (damaged / "manifest.json").write_text("{")
    again = run_campaign(spec)
    assert again.failed == ()
    assert again.cells[0] == first.cells[0]
    assert again.cells[1].audit != first.cells[1].audit


def test_a_cell_that_fails_is_named_and_costs_no_other(home: Path, tmp_path: Path) -> None:
    checkpoints = {"gone": str(tmp_path / "nowhere"), "one": str(home / "model0"), "two": str(home / "model1")}
    report = run_campaign(make_spec(home, tmp_path / "out", checkpoints=checkpoints, reference="one"))
    (failed,) = report.failed
    assert failed.name == "gone"
    assert "nowhere" in failed.failed
    assert cell(report, ACCURACY, "two").change.n == CASES
    assert f"gone: failed: {failed.failed}" in "\n".join(map(str, terminal(report).renderables))


def test_without_its_reference_the_values_stand_and_no_difference_is_shown(home: Path, tmp_path: Path) -> None:
    checkpoints = {"gone": str(tmp_path / "nowhere"), "one": str(home / "model0")}
    report = run_campaign(make_spec(home, tmp_path / "out", checkpoints=checkpoints))
    shown = cell(report, ACCURACY, "one")
    assert shown.value is not None
    assert (shown.change.difference, shown.change.note) == (None, "the reference has no finished audit")


def test_where_all_fail_the_first_reason_is_the_error(home: Path, tmp_path: Path) -> None:
    spec = make_spec(home, tmp_path / "out", checkpoints={"gone": str(tmp_path / "nowhere")})
    with pytest.raises(AuditError, match=r"none of the 1 cells succeeded; gone: .*nowhere"):
        run_campaign(spec)
    assert json.loads((tmp_path / "out" / RESULT).read_text())["cells"][0]["name"] == "gone"


def test_a_variant_with_other_settings_of_the_probe_is_shown_and_not_paired(home: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.jsonl"
    pd.DataFrame([{"text": f"other {i}", "label": i % 2} for i in range(20)]).to_json(
        other, orient="records", lines=True
    )
    checkpoints = {
        "one": str(home / "model0"),
        "other-data": {"checkpoint": str(home / "model0"), "audit": {"data": {"examples": str(other)}}},
        "seed": {"checkpoint": str(home / "model0"), "audit": {"seed": 7}},
    }
    report = run_campaign(make_spec(home, tmp_path / "out", checkpoints=checkpoints))
    change = cell(report, ACCURACY, "other-data").change
    assert change.difference is None
    assert "its data for quality/classification:examples differ" in change.note
    assert cell(report, ACCURACY, "seed").change.difference == 0


def test_two_processes_do_not_share_a_campaign(home: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    output.mkdir()
    lock = Lock(output / "campaign.lock")
    command = f"""
from pathlib import Path
from harness.errors import UsageError
from harness.campaign.run import run_campaign
from tests.harness.campaign.test_campaign import make_spec
try:
    run_campaign(make_spec(Path({str(home)!r}), Path({str(output)!r})))
except UsageError as error:
    print(error)
"""
    try:
        said = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True).stdout
    finally:
        lock.release()
    assert "works on this campaign; wait for it to end" in said


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"reference": "befor"}, "reference 'befor' is no name under checkpoints"),
        ({"checkpoints": {"a b": "x"}}, "the name 'a b' must be 1 to 30 letters"),
        ({"checkpoints": {}}, "checkpoints"),
        ({"audit": {"checkpoint": "x"}}, "audit.checkpoint: the campaign sets it"),
        ({"audit": {"sed": 1}}, "audit: unknown key 'sed'"),
        (
            {"checkpoints": {"a": {"checkpoint": "x", "audit": {"dtype": "fp7"}}}, "audit": {}},
            "checkpoints.a.audit: dtype",
        ),
        ({"refrence": "a"}, "unknown key 'refrence'"),
    ],
)
def test_what_is_wrong_with_a_spec_is_one_sentence(tmp_path: Path, change: dict[str, Any], sentence: str) -> None:
    content = {"checkpoints": {"before": "x", "after": "y"}, "audit": {"probes": [PROBE]}, **change}
    path = tmp_path / "campaign.yaml"
    path.write_text(json.dumps(content))
    with pytest.raises(UsageError) as caught:
        load_campaign(path)
    assert sentence in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_a_killed_campaign_goes_on_with_the_same_audits(
    home: Path, done: tuple[Path, CampaignReport], tmp_path: Path
) -> None:
    """SIGKILL while the second cell runs; the finished cell is not touched, the second goes on in its folder."""
    output = tmp_path / "out"
    spec = tmp_path / "campaign.yaml"
    made = make_spec(home, output)
    spec.write_text(made.model_dump_json())
    slow = (
        "import time; from harness.executors import pace; pace.SECONDS, pace.FIRST = 0.0, 4; "
        "pace.Pace.returned = lambda *_: time.sleep(0.1); from harness.cli import main; main()"
    )
    command = [sys.executable, "-c", slow, "campaign", str(spec)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    give_up = time.monotonic() + 120
    while time.monotonic() < give_up:
        folders = list(audits_in(output / "audits"))
        parts = [len(list(folder.path.rglob("part-*.parquet"))) for folder in folders]
        if len(folders) == 2 and parts[0] >= 1:
            break
        assert process.poll() is None, process.stderr and process.stderr.read().decode()
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=60)
    second, first = audits_in(output / "audits")
    assert (first.manifest().status, second.manifest().status) == (Status.FINISHED, Status.RUNNING)
    kept = len(second.rows(PROBE))
    assert 0 < kept < CASES
    assert not (output / RESULT).exists()
    report = run_campaign(made)
    assert len(list(audits_in(output / "audits"))) == 2
    assert sum(work.rows for work in second.manifest().work) == CASES - kept
    for key in (each.metric for each in done[1].metrics):  # the command scans its files too, which adds metrics
        for name in ("before", "after"):
            there, here = cell(done[1], key, name), cell(report, key, name)
            assert here.value == pytest.approx(there.value, abs=1e-5)
    assert cell(report, ACCURACY, "after").change.became_right == cell(done[1], ACCURACY, "after").change.became_right


def test_a_broken_audit_of_one_cell_does_not_stop_the_others(home: Path, tmp_path: Path) -> None:
    def start(plan: AuditPlan) -> AuditFolder:
        if plan.spec.name == "before":
            raise RuntimeError("the disk is odd\x1b[31m")
        return start_audit(plan)

    report = run_campaign(make_spec(home, tmp_path / "out", reference="after"), start=start)
    assert report.failed[0].failed.startswith("RuntimeError: the disk is odd")
    assert "\x1b" not in report.failed[0].failed
    shutil.rmtree(tmp_path / "out")


def test_validate_tells_a_campaign_spec_and_ends_with_2_where_it_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "campaign.yaml"
    content = {"checkpoints": {"before": "x", "after": "y"}, "audit": {"probes": [PROBE]}}
    for reference, code, said in (
        ("after", 0, "a valid campaign spec of 2 checkpoints against after"),
        ("a", 2, "no name"),
    ):
        path.write_text(json.dumps({**content, "reference": reference}))
        monkeypatch.setattr(sys, "argv", ["assay", "validate", str(path)])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == code
        assert said in "".join(capsys.readouterr())


@pytest.mark.parametrize(("least", "policy", "code"), [(0.0001, True, 0), (0.9999, True, 1), (0.9999, False, 0)])
def test_the_exit_code_is_the_gravest_verdict_where_a_policy_gave_some(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, least: float, policy: bool, code: int
) -> None:
    gates = [{"id": "g", "metric": ACCURACY, "min": least, "min_examples": 1}]
    made = make_spec(home, tmp_path / "out")
    audit = {**made.audit, "policy": {"name": "p", "gates": gates} if policy else None}
    path = tmp_path / "campaign.yaml"
    path.write_text(made.model_copy(update={"audit": audit}).model_dump_json())
    monkeypatch.setattr(sys, "argv", ["assay", "campaign", str(path)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == code
