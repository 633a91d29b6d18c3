from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest
from typer.main import get_command
from typer.testing import CliRunner

from harness.api.registry import find_probes
from harness.cli import app, main
from harness.record.folder import audits_in
from tests.tiny import make_checkpoint

COMMANDS = sorted(get_command(app).commands)  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny classifier, labelled texts, a spec and two policies."""
    home = tmp_path_factory.mktemp("cli")
    make_checkpoint(home / "bert", "bert", "classifier")
    rows = [{"text": f"a text about number {i}", "label": i % 2} for i in range(60)]
    pd.DataFrame(rows).to_json(home / "data.jsonl", orient="records", lines=True)
    gate = "name: p\ngates:\n  - {id: g, metric: quality/classification/accuracy, %s: 0.01}\n"
    (home / "pass.yaml").write_text(gate % "min")
    (home / "block.yaml").write_text(gate % "max")
    (home / "audit.yaml").write_text(
        f"checkpoint: {home / 'bert'}\nprobes: [quality]\ndata: {{examples: {home / 'data.jsonl'}}}\n"
        f"output: {home / 'audits'}\ntracking: {{uri: 'off'}}\n"
    )
    return home


def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    """Run `assay` as a user does: exit code, standard output, standard error."""
    monkeypatch.setattr("sys.argv", ["assay", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    out = capsys.readouterr()
    return int(ended.value.code or 0), out.out, out.err


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command_shows_an_example(command: str) -> None:
    shown = CliRunner().invoke(app, [command, "--help"]).output
    assert f"assay {command}" in shown.split("Example:")[1]


@pytest.mark.parametrize(("policy", "code"), [("pass", 0), ("block", 1), (None, 3)])
def test_run_exits_with_the_verdict(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], policy: str | None, code: int
) -> None:
    extra = ["--policy", folder / f"{policy}.yaml"] if policy else []
    got, out, _ = call(monkeypatch, capsys, "run", folder / "audit.yaml", *extra)
    assert got == code
    assert "quality/classification" in out
    assert "accuracy" in out
    assert {0: "pass", 1: "block", 3: "inconclusive"}[code] in out.lower()
    assert "report.html" in out
    assert "assay dashboard" in out


def test_the_report_of_a_run_is_in_the_language_asked_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    call(monkeypatch, capsys, "run", folder / "audit.yaml", "--output", folder / "zh", "--language", "zh")
    (report,) = (folder / "zh").glob("*/report.html")
    assert '<html lang="zh">' in report.read_text()
    call(monkeypatch, capsys, "resume", report.parent)
    assert '<html lang="en">' in report.read_text()
    code, _, err = call(monkeypatch, capsys, "run", folder / "audit.yaml", "--language", "fr")
    assert code == 2
    assert "choose one of en, zh" in err


def test_gate_show_and_list(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    call(monkeypatch, capsys, "run", folder / "audit.yaml")
    audit = next(iter(audits_in(folder / "audits")))
    for name, code in (("pass", 0), ("block", 1)):
        assert call(monkeypatch, capsys, "gate", audit.path, "--policy", folder / f"{name}.yaml")[0] == code
    shown = call(monkeypatch, capsys, "show", "latest", "--output", folder / "audits")
    assert shown[0] == 0
    assert "accuracy" in shown[1]
    assert audit.path.name[:20] in call(monkeypatch, capsys, "show", "--output", folder / "audits")[1]


def test_one_line_is_enough(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Without data for it, a probe of the suite is not applicable, with the reason; the others run."""
    words = ["plan", "--checkpoint", folder / "bert", "--suite", "bias", "--limit", "5"]
    code, out, err = call(monkeypatch, capsys, *words)
    assert code == 0, err
    assert "bias/counterfactual" in out
    assert "5 of " in out
    assert "not applicable: bias/crows_pairs: needs a causal LM or masked LM" in out


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["run"], "give a spec file or --checkpoint"),
        (["run", "nowhere.yaml"], "nowhere.yaml: no such file"),
        (["run", "--checkpoint", "./nowhere"], "nowhere"),
        (["run", "--checkpoint", "{home}/bert", "--suite", "byas"], "did you mean 'bias'"),
        (["run", "--checkpoint", "{home}/bert", "--suite", "bias/crows_pairs"], "no probe applies"),
        (["run", "--checkpoint", "{home}/bert", "--device", "tpu"], "device"),
        (["show", "nothing"], "not an audit"),
        (["show", "latest", "--output", "{home}/none"], "holds no audit yet"),
        (["resume", "nothing"], "not an audit"),
        (["gate", "nothing", "--policy", "{home}/pass.yaml"], "not an audit"),
        (["probes", "quality/perplexty"], "did you mean 'quality/perplexity'"),
        (["validate"], "give a file to check"),
        (["train", "nowhere.yaml"], "no such file"),
    ],
)
def test_usage_errors_are_one_sentence_and_exit_2(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], why: str
) -> None:
    code, _, err = call(monkeypatch, capsys, *[word.format(home=folder) for word in words])
    assert code == 2
    assert why in err
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) == 1


def test_probes_lists_all_and_describes_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = call(monkeypatch, capsys, "probes")
    assert code == 0
    for name in find_probes().probes:
        assert re.search(rf"^{name}( |$)", out, re.MULTILINE), name
    code, out, _ = call(monkeypatch, capsys, "probes", "quality/classification", "--schema")
    columns = {each["name"]: each for each in json.loads(out)["quality/classification"]["columns"]}
    assert code == 0
    assert (columns["nll"]["unit"], columns["probabilities"]["type"]) == ("nats", "list<double>")
    assert "name the probe" in call(monkeypatch, capsys, "probes", "--schema")[2]
    _, out, _ = call(monkeypatch, capsys, "probes", "bias/crows_pairs")
    assert "metric       stereotype_share: rate, nearer to 0.5 is better, from 0 to 1" in out
    assert "column       first_more: score of sent_more under the first formula of the kind (nats)" in out
    for word in ("paper", "needs", "cannot tell", "data", "causal LM or masked LM"):
        assert word in out


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--limit", "0"), "limits.cases: .*greater than or equal to 1"),
        (("--minutes", "0"), "limits.minutes: .*greater than 0"),
        (("--minutes", "nan"), "limits.minutes: "),
        (("--suite", ""), "--suite '': names no suite"),
        (("--suite", " , "), "names no suite"),
        (("--policy", ""), "a folder, not a file"),
        (("--data", "nowhere=x.csv"), "no probe chosen reads an input 'nowhere'; their inputs are .*examples"),
        (("--data", "examples=a.csv", "--data", "examples=b.csv"), "examples is given twice"),
        (("--suite", "bias/crows_pairs", "--data", "a.csv"), "no probe chosen reads examples or texts"),
    ],
)
def test_an_option_that_says_nothing_or_zero_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], why: str
) -> None:
    code, _, err = call(monkeypatch, capsys, "run", "--checkpoint", folder / "bert", *words)
    assert code == 2
    assert re.search(why, " ".join(err.split())), err


def test_data_on_the_one_line_form(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("run", "--checkpoint", folder / "bert", "--suite", "quality", "--output", folder / "one_line")
    rows = [f"a text about number {i},{i % 2}" for i in range(40)]
    (folder / "reviews.csv").write_text("text,label\n" + "\n".join(rows) + "\n")
    code, out, _ = call(monkeypatch, capsys, *words, "--data", folder / "reviews.csv", "--tracking-uri", "off")
    assert code == 3
    assert "examples n=40" in out
    assert "labels are whole numbers, read as classes counted from 0" in " ".join(out.split())
    (audit,) = audits_in(folder / "one_line")
    notes = {probe.name: probe.data["examples"].note for probe in audit.manifest().probes}
    assert set(notes) == {"quality/classification", "quality/consistency", "quality/slices"}
    assert all(note.startswith("labels are whole numbers") for note in notes.values())
    assert "counted from 0" in (audit.path / "report.md").read_text()
    code, out, _ = call(monkeypatch, capsys, "plan", *words[1:-2], "--data", f"examples={folder / 'reviews.csv'}")
    assert "examples n=40" in out


def test_a_dataset_name_that_no_probe_reads_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "typo.yaml").write_text(f"checkpoint: {folder / 'bert'}\ndata: {{exmaples: a.csv}}\n")
    code, _, err = call(monkeypatch, capsys, "plan", folder / "typo.yaml")
    assert code == 2
    assert "no probe reads 'exmaples'" in " ".join(err.split())
    assert "did you mean 'examples'" in " ".join(err.split())
