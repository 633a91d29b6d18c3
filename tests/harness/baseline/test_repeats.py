"""`assay run --repeat`: further seeds beside an audit, each case's rate, and each metric over seeds and cases."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path

import pandas as pd
import pytest

from harness.api.metrics import Better, Metric, RowValues
from harness.api.probe import About, Probe, ProbeParams, ProbeRow
from harness.audit.repeats import _of_probe, case_rates
from harness.record.folder import AuditFolder, audits_in
from harness.stats.intervals import clopper_pearson
from tests.harness.cli.test_cli import call
from tests.tiny import make_checkpoint


class Coin(Probe[ProbeParams]):
    """Stands in for a probe whose rows are given."""

    name = "toy/coin"
    about = About("heads", "none", "anything")
    needs = ()
    Row = ProbeRow

    def cases(self, plan: object) -> list[object]:  # type: ignore[override]
        return []

    def run(self, scorer: object, cases: object) -> list[dict[str, object]]:
        return []

    def measure(self, rows: pd.DataFrame) -> list[Metric]:
        return [Metric(key="heads", value=0.5, n=2, better=Better.NEITHER)]

    def row_values(self, rows: pd.DataFrame, metric: str, part: str) -> RowValues | None:
        if metric != "heads":
            return None
        heads = rows["heads"].astype(float).where(rows["status"] == "ok")
        return RowValues(heads, rows["counts"].astype(float), bounds=(0.0, 1.0))


def side(heads: list[int], counts: list[int] | None = None, errors: int = 0) -> pd.DataFrame:
    n = len(heads)
    status = ["error"] * errors + ["ok"] * (n - errors)
    frame = {"case_id": [f"c{at}" for at in range(n)], "status": status, "heads": heads, "counts": counts or [1] * n}
    return pd.DataFrame(frame)


def test_each_cases_rate_and_the_metric_over_seeds() -> None:
    sides = [side([1, 1, 0, 0]), side([1, 0, 0, 0]), side([1, 1, 0, 1], errors=0)]
    rates = case_rates(Coin(), sides, ["heads", "other"])
    assert dict(zip(rates["case_id"], rates["rate"], strict=True)) == pytest.approx(
        {"c0": 1.0, "c1": 2 / 3, "c2": 0.0, "c3": 1 / 3}
    )
    (found,) = _of_probe(Coin(), sides, ["heads", "other"])
    assert found.value == pytest.approx(6 / 12)
    assert found.by_seed == pytest.approx((0.5, 0.25, 0.75))
    assert (found.n, found.unsteady) == (4, 2)


def test_a_case_counts_only_under_the_seeds_that_measured_it() -> None:
    sides = [side([1, 1, 0], errors=1), side([0, 1, 0], counts=[1, 1, 0])]
    rates = case_rates(Coin(), sides, ["heads"])
    assert rates.set_index("case_id")[["rate", "n"]].to_dict("index") == {
        "c0": {"rate": 0.0, "n": 1},
        "c1": {"rate": 1.0, "n": 2},
        "c2": {"rate": 0.0, "n": 1},
    }
    (found,) = _of_probe(Coin(), sides, ["heads"])
    assert found.value == pytest.approx(2 / 4)
    assert found.n == 3


def test_seeds_that_agree_add_no_evidence() -> None:
    """Cases are the units: five equal seeds give the interval of one, here Clopper and Pearson's up to its draws."""
    one = side([1] * 30 + [0] * 10)
    (found,) = _of_probe(Coin(), [one] * 5, ["heads"])
    exact = clopper_pearson(30, 40)
    assert found.low == pytest.approx(exact.low, abs=0.02)
    assert found.high == pytest.approx(exact.high, abs=0.02)
    assert (found.unsteady, found.n) == (0, 40)


def test_nothing_that_counts_is_missing_and_never_zero() -> None:
    (found,) = _of_probe(Coin(), [side([1, 1], errors=2)], ["heads"])
    assert (found.value, found.low, found.n, found.by_seed) == (None, None, 0, (None,))


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    model = make_checkpoint(tmp_path / "model", "bert", "classifier")
    texts = tmp_path / "texts.csv"
    with texts.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        for at in range(12):
            word = hashlib.sha256(str(at).encode()).hexdigest()[:3]
            writer.writerow([f"the film number {word} was not very good but rather long", at % 2])
    path = tmp_path / "spec.yaml"
    path.write_text(
        f"checkpoint: {model}\nname: toy\noutput: {tmp_path / 'audits'}\ntracking: {{uri: 'off'}}\n"
        f"data: {{examples: {texts}}}\nprobes:\n  - quality/classification\n"
        "  - {name: adversarial/typos, params: {severities: [0.2]}}\n"
    )
    return path


def test_further_seeds_are_audits_of_the_probes_that_draw(
    spec: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = call(monkeypatch, capsys, "run", spec, "--repeat", "3")
    assert code == 3, err  # no policy: nothing is decided
    (one,) = audits_in(spec.parent / "audits")  # the others are no audits to gate or release: they lie inside it
    audits = [one.manifest(), *(each.manifest() for each in audits_in(one.path / "repeats"))]
    by_name = {each.name: each for each in audits}
    assert sorted(by_name) == ["toy", "toy, repeat 2 of 3", "toy, repeat 3 of 3"]
    for step, name in enumerate(("toy", "toy, repeat 2 of 3", "toy, repeat 3 of 3")):
        seeds = {probe.name: probe.params.get("seed") for probe in by_name[name].probes}
        expected: dict[str, int | None] = {"adversarial/typos": step}
        assert seeds == (expected | {"quality/classification": None} if not step else expected)
    typos = [next(p for p in each.probes if p.name == "adversarial/typos") for each in audits]
    assert len({each.cases_digest for each in typos}) == 1, "the same cases"

    first = AuditFolder(spec.parent / "audits" / by_name["toy"].audit_id)
    summary = json.loads((first.path / "repeats.json").read_text())
    assert len(summary["audits"]) == 3
    for metric in summary["metrics"]:
        if metric["key"] in {each.key: each.value for each in first.metrics()}:
            own = next(each.value for each in first.metrics() if each.key == metric["key"] and not each.slice)
            assert metric["by_seed"][0] == pytest.approx(own), metric["key"]
    assert (first.path / "repeats" / "adversarial.typos.csv").is_file()
    assert "over seeds and cases together" in out


def test_what_draws_nothing_is_not_repeated(
    spec: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spec.write_text(spec.read_text().split("  - {name: adversarial")[0])
    code, _, err = call(monkeypatch, capsys, "run", spec, "--repeat", "2")
    assert (code, "no probe of this audit draws at random on given cases" in err) == (2, True)


def test_the_seed_of_the_command_line_reaches_probes_that_draw(
    spec: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It was promised for attacks and reached the sampling alone; a probe's own setting wins."""
    call(monkeypatch, capsys, "run", spec, "--seed", "7")
    (audit,) = audits_in(spec.parent / "audits")
    params = {probe.name: probe.params for probe in audit.manifest().probes}
    assert params["adversarial/typos"]["seed"] == 7
    spec.write_text(spec.read_text().replace("severities:", "seed: 3, severities:"))
    call(monkeypatch, capsys, "run", spec, "--seed", "7")
    newest = next(audits_in(spec.parent / "audits")).manifest()
    assert next(p.params["seed"] for p in newest.probes if p.name == "adversarial/typos") == 3
