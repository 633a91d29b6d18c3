"""Plug-ins as third parties ship them: the package in tests/plugin_package is really installed, by pip, aside."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from harness.record.folder import audits_in
from tests.tiny import make_checkpoint

HERE = Path(__file__).parent
ASSAY = [sys.executable, "-c", "from harness.cli import main; main()"]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Environment variables under which the plug-in package is installed."""
    target = tmp_path_factory.mktemp("site")
    source = tmp_path_factory.mktemp("source") / "package"
    subprocess.run(["cp", "-r", str(HERE / "plugin_package"), str(source)], check=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--no-index", "--target", str(target), str(source)], check=True)
    return {**os.environ, "PYTHONPATH": str(target)}


def test_an_installed_plugin_runs_and_a_broken_one_is_reported(environment: dict[str, str], tmp_path: Path) -> None:
    make_checkpoint(tmp_path / "bert", "bert", "classifier")
    pd.DataFrame({"text": [f"text {i}" for i in range(40)]}).to_json(tmp_path / "a.jsonl", orient="records", lines=True)
    spec = tmp_path / "audit.yaml"
    spec.write_text(
        f"checkpoint: {tmp_path / 'bert'}\nprobes: [example/label_balance]\n"
        f"data: {{texts: {tmp_path / 'a.jsonl'}}}\noutput: {tmp_path / 'audits'}\ntracking: {{uri: 'off'}}\n"
    )
    done = subprocess.run([*ASSAY, "run", str(spec)], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
    folder = next(iter(audits_in(tmp_path / "audits")))
    rows = folder.rows("example/label_balance")
    (metric,) = (each for each in folder.metrics() if each.key.startswith("example/"))
    assert (metric.key, metric.n) == ("example/label_balance/share", 40)
    assert metric.value == pytest.approx((rows["predicted"] == 0).mean())
    broken = folder.manifest().plugin_errors["example.broken = assay_plugin_example.broken:Broken"]
    assert "a_package_that_is_not_installed" in broken
    assert "plug-in not loaded: example.broken" in done.stderr
    written = (folder.path / "report.txt").read_text()
    assert written == f"inconclusive {folder.path.name}\n"


def test_an_installed_probe_has_params_and_reads_columns_of_its_own(
    environment: dict[str, str], tmp_path: Path
) -> None:
    make_checkpoint(tmp_path / "bert", "bert", "classifier")
    texts = pd.DataFrame({"text": [f"text {i}" for i in range(40)], "genre": ["film", "book"] * 20})
    texts.to_csv(tmp_path / "a.csv", index=False)
    spec = tmp_path / "audit.yaml"
    spec.write_text(
        f"checkpoint: {tmp_path / 'bert'}\noutput: {tmp_path / 'audits'}\ntracking: {{uri: 'off'}}\n"
        "probes:\n- name: example/by_topic\n  params: {label: 1}\n"
        f"  data: {{topical: {{source: {tmp_path / 'a.csv'}, columns: {{topic: genre}}}}}}\n"
    )
    done = subprocess.run([*ASSAY, "run", str(spec)], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
    folder = next(iter(audits_in(tmp_path / "audits")))
    rows = folder.rows("example/by_topic")
    assert sorted(rows["topic"]) == ["book"] * 20 + ["film"] * 20
    found = {each.slice: each for each in folder.metrics() if each.key == "example/by_topic/share"}
    assert {part: each.n for part, each in found.items()} == {"": 40, "book": 20, "film": 20}
    assert found[""].value == pytest.approx((rows["predicted"] == 1).mean())
    said = subprocess.run(
        [*ASSAY, "probes", "example/by_topic"], env=environment, capture_output=True, text=True, check=False
    )
    assert "metric       share: rate, no direction is better, from 0 to 1" in said.stdout


def test_an_installed_probe_asks_a_second_model(environment: dict[str, str], tmp_path: Path) -> None:
    for seed, name in enumerate(("gpt", "reference", "other")):
        make_checkpoint(tmp_path / name, "gpt2", "causal_lm", seed=seed)
    texts = [f"the film was number {i}" for i in range(12)]
    pd.DataFrame({"text": texts}).to_json(tmp_path / "a.jsonl", orient="records", lines=True)
    spec = tmp_path / "audit.yaml"
    lines = f"checkpoint: {tmp_path / 'gpt'}\nprobes: [example/surprise]\ntracking: {{uri: 'off'}}\n"
    lines += f"data: {{texts: {tmp_path / 'a.jsonl'}}}\noutput: {tmp_path / 'audits'}\n"
    spec.write_text(lines)

    def assay(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*ASSAY, *command], env=environment, capture_output=True, text=True, check=False)

    without = assay("plan", str(spec))
    assert without.returncode == 2
    assert "no model for 'reference' (a model to compare with); give models: {reference:" in without.stderr
    spec.write_text(f"{lines}models: {{reference: {tmp_path / 'reference'}}}\n")
    planned = assay("plan", str(spec))
    line = (
        r"model +\S+/reference, .* parameters, fingerprint \w{12}, reads about [1-9]\d* tokens, for\s+example/surprise"
    )
    assert re.search(line, planned.stdout)
    assert "memory     about 0.00 GiB at most for the weights of all models" in planned.stdout
    assert re.search(r"scan +\S+/reference: ", (done := assay("run", str(spec))).stdout)
    assert done.returncode == 3, done.stderr
    folder = next(iter(audits_in(tmp_path / "audits")))
    manifest = folder.manifest()
    (record,) = (probe.models["reference"] for probe in manifest.probes)
    assert record.scan is not None
    assert f"{record.source}, fingerprint {record.fingerprint}" in (folder.path / "report.md").read_text()
    worked = [(work.stage, work.model) for work in manifest.work if work.rows]
    assert worked == [("prepare", "reference"), ("cases", "")]  # what the reference said then is not asked again
    rows = folder.rows("example/surprise")
    values = {each.key: each.value for each in folder.metrics()}
    assert values["example/surprise/gap"] == pytest.approx(rows["gap"].mean())
    assert values["example/surprise/rare_gap"] == pytest.approx(rows.loc[rows["rare"], "gap"].mean())
    make_checkpoint(tmp_path / "reference", "gpt2", "causal_lm", seed=7)
    resumed = assay("resume", str(folder.path))
    assert resumed.returncode == 2
    assert "the model for 'reference' of example/surprise has changed since" in resumed.stderr


def test_an_installed_request_is_answered(environment: dict[str, str], tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "bert", "bert", "base")
    code = f"""
from assay_plugin_example.lengths import LengthRequest
from harness.api.scorer import EmbedRequest
from harness.checkpoint import CheckpointSource, inspect_checkpoint, load_checkpoint
from harness.scorer.hf import HFScorer

scorer = HFScorer(load_checkpoint(inspect_checkpoint(CheckpointSource(source={str(folder)!r})), device="cpu"))
print(scorer.ask([LengthRequest("a man"), EmbedRequest("a"), LengthRequest("she")])[::2])
"""
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == "[2, 1]\n", done.stderr


def test_an_installed_probe_and_view_get_a_page_of_the_dashboard(environment: dict[str, str], tmp_path: Path) -> None:
    make_checkpoint(tmp_path / "bert", "bert", "classifier")
    pd.DataFrame({"text": [f"text {i}" for i in range(40)]}).to_json(tmp_path / "a.jsonl", orient="records", lines=True)
    run = f"run --checkpoint {tmp_path / 'bert'} --suite example/label_balance --data texts={tmp_path / 'a.jsonl'}"
    options = ["--output", str(tmp_path / "audits"), "--tracking-uri", "off"]
    done = subprocess.run(
        [*ASSAY, *run.split(), *options], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 3, done.stderr
    code = """
from streamlit.testing.v1 import AppTest

app = AppTest.from_file("dashboards/app.py", default_timeout=60).run()
app.query_params["probe"] = "example/label_balance"
app = app.switch_page("screens/probe.py").run()
assert not app.exception
print([str(element.value) for element in app.caption])
print(sorted(choice.value for choice in app.button_group if "-view-" in str(choice.key)))
"""
    settings = {**environment, "ASSAY_OUTPUT": str(tmp_path / "audits")}
    done = subprocess.run([sys.executable, "-c", code], env=settings, capture_output=True, text=True, check=False)
    assert "'n = 40'" in done.stdout, done.stderr
    assert "['predicted-shares']" in done.stdout
    assert "assay\\\\_plugin\\\\_example" in done.stdout  # the broken view is named
    assert done.stdout.count("cannot be used") == 1


def test_the_guides_show_the_very_code_that_is_tested() -> None:
    docs = HERE.parent / "docs"
    guide = "".join((docs / name).read_text(encoding="utf-8") for name in ("write-a-probe.md", "extend.md"))
    code = re.findall(r"```python\n(.*?)```", guide, flags=re.DOTALL)
    package = HERE / "plugin_package" / "assay_plugin_example"
    assert (package / "label_balance.py").read_text(encoding="utf-8") in code
    files = [path.read_text(encoding="utf-8") for path in package.glob("*.py")]
    assert len(code) == 9
    assert all(any(block in file for file in files) for block in code)
    toml = re.findall(r"```toml\n(.*?)```", guide, flags=re.DOTALL)
    declared = (HERE / "plugin_package" / "pyproject.toml").read_text(encoding="utf-8")
    assert len(toml) == 4
    assert all(line in declared for block in toml for line in block.splitlines())
