from __future__ import annotations

import errno
import json
from contextlib import nullcontext
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from pandera.typing import Series

from harness.api.case import Case, make_cases
from harness.api.columns import column
from harness.api.declared import By, ControlRows, ShareOf, equal, of
from harness.api.metrics import Better, Metric
from harness.api.probe import Input, Plan, Probe
from harness.api.registry import Found
from harness.audit import so_far
from harness.audit.measure import measure
from harness.audit.plan import AuditPlan, make_plan
from harness.audit.run import AuditResult, regate, resume_plan, run_audit, start_audit
from harness.audit.spec import AuditSpec
from harness.data.schemas import Texts
from harness.errors import AssayError, AuditError, UsageError
from harness.executors import pace
from harness.gate.decide import Policy
from harness.record.events import MetricSoFar, read_events
from harness.record.folder import AuditFolder, Status, audits_in
from harness.record.rows import row_parts
from tests.harness.api.toy import Toy, ToyRow
from tests.tiny import make_checkpoint

FOUND = Found({"toy/share": Toy}, {"broken = x:y": "ImportError: no x"})
POLICY = {"name": "p", "gates": [{"id": "g", "metric": "toy/share/share", "max": 1.0, "min_examples": 1}]}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("bert"), "bert", "classifier")


def plan(checkpoint: Path, folder: Path, texts: list[str], **keys: Any) -> AuditPlan:
    data = folder / "texts.jsonl"
    pd.DataFrame({"text": texts}).to_json(data, orient="records", lines=True)
    spec = {"checkpoint": str(checkpoint), "data": {"texts": str(data)}, "output": str(folder / "audits"), **keys}
    return make_plan(AuditSpec.model_validate(spec), FOUND)


def words(n: int) -> list[str]:
    return [f"text number {i}" for i in range(n)]


def run(planned: AuditPlan) -> AuditResult:
    return run_audit(planned, start_audit(planned, ["assay", "run", "a b.yaml"]))


def test_a_finished_audit_can_be_read_back(checkpoint: Path, tmp_path: Path) -> None:
    result = run(plan(checkpoint, tmp_path, words(10), policy=POLICY, seed=7))
    folder = next(iter(audits_in(tmp_path / "audits")))
    manifest = folder.manifest()
    assert manifest.status is Status.FINISHED
    assert manifest.finished is not None
    assert (manifest.seed, manifest.command, manifest.device) == (7, "assay run 'a b.yaml'", "cpu")
    assert manifest.plugin_errors == {"broken = x:y": "ImportError: no x"}
    assert manifest.probes[0].cases == 10
    assert manifest.probes[0].data["texts"].n == 10
    assert folder.metrics() == result.metrics
    assert [metric.key for metric in result.metrics] == ["toy/share/share"]
    assert folder.verdict() == result.verdict
    assert result.verdict.outcome == "pass"
    assert (folder.path / "report.html").is_file()
    assert sum(work.rows for work in manifest.work) == 10
    assert AuditSpec.model_validate(manifest.spec).digest() == manifest.spec_digest


def test_a_crash_in_a_case_is_a_row_and_counts_as_missing(checkpoint: Path, tmp_path: Path) -> None:
    result = run(plan(checkpoint, tmp_path, [*words(5), "crash", *[f"more {i}" for i in range(3)]]))
    rows = result.folder.rows("toy/share")
    assert rows.loc[rows["status"] == "error", "error"].tolist() == ["ZeroDivisionError: told to"]
    assert (result.metrics[0].n, result.metrics[0].missing) == (8, 1)


@pytest.mark.parametrize(
    ("word", "error", "status", "why"),
    [
        ("interrupt", KeyboardInterrupt, Status.INTERRUPTED, "interrupted by the user"),
        ("stop", AssayError, Status.FAILED, "AssayError: told to stop"),
    ],
)
def test_what_stops_an_audit_keeps_finished_rows(
    checkpoint: Path, tmp_path: Path, word: str, error: type[BaseException], status: Status, why: str
) -> None:
    planned = plan(checkpoint, tmp_path, [*words(9), word])
    folder = start_audit(planned)
    with pytest.raises(error):
        run_audit(planned, folder)
    assert (folder.manifest().status, folder.manifest().why) == (status, why)
    assert len(folder.rows("toy/share")) == 8
    assert folder.verdict() is None


def test_resume_repeats_nothing_and_ends_with_the_same_metrics(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(plan(checkpoint, tmp_path, [*words(9), "then"]))
    planned = plan(checkpoint, tmp_path, [*words(9), "then"])
    folder = start_audit(planned)
    monkeypatch.setattr(
        Toy, "_obey", lambda self, text: (_ for _ in ()).throw(KeyboardInterrupt) if text == "then" else None
    )
    with pytest.raises(KeyboardInterrupt):
        run_audit(planned, folder)
    monkeypatch.undo()
    before = {part: part.read_bytes() for part in row_parts(folder.path, "toy/share")}
    assert len(folder.rows("toy/share")) == 8  # of the first call; the second was interrupted
    resumed = run_audit(resume_plan(folder, FOUND), folder)
    assert {part: part.read_bytes() for part in before} == before
    assert resumed.metrics == whole.metrics
    assert [work.rows for work in resumed.manifest.work] == [2]
    again = run_audit(resume_plan(folder, FOUND), folder)
    assert again.metrics == whole.metrics


def test_resume_refuses_other_weights_and_other_data(checkpoint: Path, tmp_path: Path) -> None:
    own = make_checkpoint(tmp_path / "own", "bert", "classifier", seed=1)
    folder = run(plan(own, tmp_path, words(4))).folder
    pd.DataFrame({"text": words(5)}).to_json(tmp_path / "texts.jsonl", orient="records", lines=True)
    with pytest.raises(UsageError, match="cases of toy/share have changed"):
        resume_plan(folder, FOUND)
    make_checkpoint(tmp_path / "own", "bert", "classifier", seed=2)
    with pytest.raises(UsageError, match="checkpoint has changed"):
        resume_plan(folder, FOUND)


class Misspelt(Toy):
    name = "toy/misspelt"
    metrics = (ShareOf("share", Better.HIGHER, equal("status", "ok"), slices=By(("chanel",))),)
    measure = Probe.measure


def test_a_metric_of_a_column_that_no_row_has_is_named_by_the_plan(checkpoint: Path, tmp_path: Path) -> None:
    found = Found({"toy/share": Toy, "toy/misspelt": Misspelt}, {})
    data = tmp_path / "texts.jsonl"
    pd.DataFrame({"text": words(5)}).to_json(data, orient="records", lines=True)
    given = {"checkpoint": str(checkpoint), "data": {"texts": str(data)}, "output": str(tmp_path / "audits")}
    made = make_plan(AuditSpec.model_validate({**given, "probes": ["toy"]}), found)
    assert [each.probe.name for each in made.probes] == ["toy/share"]
    assert "its metric 'share' reads the column 'chanel', which its rows lack" in " ".join(made.plugin_errors.values())


class Again(Toy):
    """Asks the same texts."""

    name = "toy/again"


def test_texts_of_several_probes_are_read_once_per_audit(checkpoint: Path, tmp_path: Path) -> None:
    data = tmp_path / "texts.jsonl"
    pd.DataFrame({"text": words(10)}).to_json(data, orient="records", lines=True)
    spec = {"checkpoint": str(checkpoint), "data": {"texts": str(data)}, "output": str(tmp_path / "audits")}
    both = Found({"toy/share": Toy, "toy/again": Again}, {})
    result = run(make_plan(AuditSpec.model_validate(spec), both))
    work = result.folder.manifest().work
    assert [(each.probe, each.rows, each.reused) for each in work] == [("toy/share", 10, 0), ("toy/again", 0, 10)]
    first, second = result.metrics
    assert (first.value, first.n) == (second.value, second.n)
    old = json.loads(result.folder.manifest_path.read_text())
    del old["work"][1]["reused"]  # as an older version wrote it
    result.folder.manifest_path.write_text(json.dumps(old))
    assert result.folder.manifest().work[1].reused == 0


def test_the_time_limit_leaves_an_inconclusive_verdict(checkpoint: Path, tmp_path: Path) -> None:
    result = run(plan(checkpoint, tmp_path, words(10), limits={"minutes": 1e-9}, policy=POLICY))
    assert result.manifest.incomplete == {"toy/share": "the limit of 1e-09 minutes was reached after 0 of 10 cases"}
    assert result.metrics[0].value is None
    assert result.metrics[0].missing == 10
    assert result.verdict.outcome == "inconclusive"


def test_the_case_limit_is_a_seeded_sample(checkpoint: Path, tmp_path: Path) -> None:
    one = plan(checkpoint, tmp_path, words(50), limits={"cases": 6})
    two = plan(checkpoint, tmp_path, words(50), limits={"cases": 6}, seed=1)
    assert len(one.probes[0].cases) == 6
    assert one.probes[0].available == 50
    assert one.probes[0].cases_digest != two.probes[0].cases_digest


def test_disk_full_while_running_is_one_sentence(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = plan(checkpoint, tmp_path, words(4))
    folder = start_audit(planned)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(AuditError, match="the disk is full"):
        run_audit(planned, folder)
    assert folder.manifest().status is Status.FAILED


def test_gating_again_needs_no_model_and_changes_nothing(checkpoint: Path, tmp_path: Path) -> None:
    result = run(plan(checkpoint, tmp_path, words(10)))
    assert result.verdict.outcome == "inconclusive"
    before = {path: path.read_bytes() for path in result.folder.path.rglob("*") if path.is_file()}
    strict = {**POLICY, "gates": [{"id": "g", "metric": "toy/share/share", "min": 0.0, "min_examples": 1}]}
    assert regate(result.folder, Policy.model_validate(strict)).verdict.outcome == "pass"
    assert {path: path.read_bytes() for path in result.folder.path.rglob("*") if path.is_file()} == before


def test_rows_are_measured_in_the_order_they_were_planned(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bootstrap draws rows by their place: a resumed audit must give the same interval."""
    monkeypatch.setattr(pace, "SECONDS", 0.0)
    planned = plan(checkpoint, tmp_path, words(10))
    folder = run(planned).folder
    seen: list[list[str]] = []

    def look(_: Toy, rows: pd.DataFrame) -> list[Metric]:
        seen.append(list(rows["case_id"]))
        return []

    monkeypatch.setattr(Toy, "measure", look)
    measure(planned.probes[0], folder)
    parts = row_parts(folder.path, "toy/share")
    assert len(parts) > 1
    for part, rows in zip(parts, [pd.read_parquet(part) for part in parts][::-1], strict=True):
        rows.iloc[::-1].to_parquet(part, index=False)
    measure(planned.probes[0], folder)
    assert seen[0] == seen[1] == [case.id for case in planned.probes[0].cases]


def test_plan_errors_are_sentences(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"params of toy/share: unknown key 'x'"):
        plan(checkpoint, tmp_path, words(2), probes=[{"name": "toy/share", "params": {"x": 1}}])
    with pytest.raises(UsageError, match="no input is called 'text'; it reads"):
        plan(checkpoint, tmp_path, words(2), probes=[{"name": "toy/share", "data": {"text": "x.csv"}}])
    with pytest.raises(UsageError, match="is a suite; params, data and models belong to one probe"):
        plan(checkpoint, tmp_path, words(2), probes=[{"name": "toy", "params": {"x": 1}}])
    spec = AuditSpec.model_validate({"checkpoint": str(checkpoint), "probes": ["toy/share"]})
    with pytest.raises(UsageError, match=r"toy/share: no data for 'texts' \(texts to classify\)"):
        make_plan(spec, FOUND)
    with pytest.raises(UsageError, match="no probe applies"):
        make_plan(AuditSpec.model_validate({"checkpoint": str(checkpoint)}), FOUND)


def test_an_audit_that_cannot_be_begun_leaves_no_folder_and_promises_no_resume(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = plan(checkpoint, tmp_path, words(2))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("harness.base.files._flush", full)
    with pytest.raises(
        AuditError, match=r"audits: no audit could be begun there \(No space left on device\)"
    ) as caught:
        start_audit(planned)
    assert "resume" not in str(caught.value)
    assert list((tmp_path / "audits").iterdir()) == []


def test_two_audits_begun_at_once_never_share_a_folder(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = plan(checkpoint, tmp_path, words(2))
    ends = iter([b"ab", b"ab", b"ab", b"cd"])
    monkeypatch.setattr("harness.audit.run.os.urandom", lambda _: next(ends))
    monkeypatch.setattr("harness.audit.run.datetime", Noon)
    folders = [start_audit(planned), start_audit(planned)]
    assert [folder.path.name[-4:] for folder in folders] == [b"ab".hex(), b"cd".hex()]
    assert [folder.manifest().audit_id for folder in folders] == [folder.path.name for folder in folders]


class Noon(datetime):
    """A clock that stands still."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Noon:
        return cls(2026, 1, 1, 12, tzinfo=tz)


class WithExamples(Toy):
    """Reads data that no case holds."""

    inputs = {**Toy.inputs, "examples": Input(Texts, "examples before each text")}  # noqa: RUF012


@pytest.mark.parametrize("interrupted", [True, False])
def test_other_data_are_another_audit_also_where_no_case_holds_them(
    checkpoint: Path, tmp_path: Path, interrupted: bool
) -> None:
    examples, found = tmp_path / "examples.jsonl", Found({"toy/share": WithExamples}, {})
    texts = tmp_path / "texts.jsonl"
    pd.DataFrame({"text": [*words(9), "interrupt"] if interrupted else words(9)}).to_json(
        texts, orient="records", lines=True
    )
    pd.DataFrame({"text": ["one", "two"]}).to_json(examples, orient="records", lines=True)
    data = {"texts": str(texts), "examples": str(examples)}
    spec = {"checkpoint": str(checkpoint), "data": data, "output": str(tmp_path / "audits")}
    planned = make_plan(AuditSpec.model_validate(spec), found)
    folder = start_audit(planned)
    with pytest.raises(KeyboardInterrupt) if interrupted else nullcontext():
        run_audit(planned, folder)
    assert resume_plan(folder, found).probes[0].cases_digest == planned.probes[0].cases_digest
    pd.DataFrame({"text": ["one", "three"]}).to_json(examples, orient="records", lines=True)
    with pytest.raises(UsageError, match=r"the examples of toy/share have changed since; start a new audit"):
        resume_plan(folder, found)


def test_a_folder_that_is_no_audit(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not an audit"):
        AuditFolder(tmp_path).manifest()
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(AuditError, match="damaged at audit_id"):
        AuditFolder(tmp_path).manifest()


def test_what_the_checkpoint_lacks_is_said_where_no_probe_applies(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "one", "bert", "classifier")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "problem_type": "regression"}))
    spec = AuditSpec.model_validate({"checkpoint": str(folder), "probes": ["toy/share"]})
    with pytest.raises(UsageError) as caught:
        make_plan(spec, FOUND)
    assert "needs a sequence classifier; the checkpoint offers embeddings" in str(caught.value)
    assert "BertForSequenceClassification has the problem type regression, so it" in str(caught.value)


def test_metrics_are_told_while_a_probe_runs(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(so_far, "SECONDS", 0.0)
    monkeypatch.setattr(so_far, "_TIMES", 0)
    monkeypatch.setattr(so_far, "_SHARE", 1e9)
    monkeypatch.setattr(pace, "SECONDS", 0.0)
    result = run(plan(checkpoint, tmp_path, words(30)))
    told = [event for event in read_events(result.folder.path) if isinstance(event, MetricSoFar)]
    assert {event.metric for event in told} == {"toy/share/share"}
    assert [event.n for event in told] == sorted(event.n for event in told)
    assert 0 < told[0].n < told[-1].n == 30
    assert [event.final for event in told] == [False] * (len(told) - 1) + [True]
    assert told[-1].value == result.metrics[0].value


@pytest.mark.parametrize("shared", [True, False])
def test_a_second_audit_with_the_same_cache_asks_the_model_nothing(
    shared: bool, checkpoint: Path, tmp_path: Path
) -> None:
    cache = str(tmp_path / "answers") if shared else "audit"
    first = run(plan(checkpoint, tmp_path, words(10), cache=cache, name="one"))
    second = run(plan(checkpoint, tmp_path, words(10), cache=cache, name="two"))
    (work,) = second.folder.manifest().work
    assert (work.rows, work.cached) == ((0, 10) if shared else (10, 0))
    assert [metric.value for metric in first.metrics] == [metric.value for metric in second.metrics]
    assert (first.folder.path / "cache").is_dir() is not shared
    report = (second.folder.path / "report.md").read_text()
    assert ("answers from the cache" in report and "10 of 10" in report) is shared


def test_a_cache_that_came_with_the_checkpoint_is_refused(tmp_path: Path) -> None:
    own = make_checkpoint(tmp_path / "own", "bert", "classifier")
    with pytest.raises(UsageError, match=r"cache: .* lies in the folder of"):
        plan(own, tmp_path, words(4), cache=str(own / "answers"))


class ControlledRow(ToyRow):
    """Rows that know whether they are a control's without a result, too."""

    role: Series[str] = column("scored or control", of_case=True)


class Controlled(Toy):
    """The share as declared, beside a control: every text once in each role, the scored ones first."""

    Row = ControlledRow
    metrics = (
        ShareOf(
            *("share", Better.NEITHER, of(lambda predicted: predicted == 0, "predicted")),
            control=ControlRows(equal("role", "control"), "the same texts"),
        ),
    )
    measure = Probe.measure

    def cases(self, plan: Plan) -> list[Case]:
        texts = list(plan.data["texts"].frame["text"])
        return make_cases({"text": text, "role": role} for role in ("scored", "control") for text in texts)


@pytest.mark.parametrize(
    ("kept", "missing", "told"),
    [
        (10, 0, "none of its 10 cases has a result: not run"),
        (13, 0, "7 of its cases have no result"),
        (4, 6, "none of its 10 cases has a result: not run"),
        (0, 10, "none of its 10 cases has a result: not run"),
    ],
)
def test_cases_of_a_control_that_never_ran_are_not_missing_of_the_score(
    kept: int, missing: int, told: str, checkpoint: Path, tmp_path: Path
) -> None:
    found = Found({"toy/share": Controlled}, {})
    spec = plan(checkpoint, tmp_path, words(10)).spec
    planned = make_plan(spec, found)
    folder = run(planned).folder
    parts = row_parts(folder.path, "toy/share")
    rows = pd.concat(map(pd.read_parquet, parts)).iloc[:kept]
    for part in parts:
        part.unlink()
    if kept:
        rows.to_parquet(parts[0], index=False)
    (metric,) = measure(planned.probes[0], folder)
    assert (metric.n, metric.missing) == (min(kept, 10), missing)
    assert metric.control is not None
    assert metric.control.note == told
