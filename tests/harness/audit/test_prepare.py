"""What probes prepare: once per audit, counted, kept by digest, resumed after a kill, never taken from a checkpoint."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import pytest
from pandera.typing import Series

from harness.api.case import Case
from harness.api.declared import MeanOf
from harness.api.metrics import Better
from harness.api.models import Models
from harness.api.probe import About, Plan, Probe, ProbeParams, ProbeRow, RowDict
from harness.api.registry import Found
from harness.api.scorer import Scorer, TextRequest
from harness.audit.plan import AuditPlan, make_plan
from harness.audit.run import resume_plan, run_audit, start_audit
from harness.audit.spec import AuditSpec
from harness.errors import UsageError
from harness.record.folder import AuditFolder, Status, audits_in
from tests.harness.api.toy import Toy
from tests.tiny import make_checkpoint


class ShiftParams(ProbeParams):
    by: float = 0.0


class ShiftRow(ProbeRow):
    shift: Series[float]


class Shift(Probe[ShiftParams]):
    """The first class's logit less the mean over all texts, which is prepared in two steps."""

    name = "toy/shift"
    about = About("Logit around its mean", "none", "anything else")
    needs = Toy.needs
    inputs = Toy.inputs
    metrics = (MeanOf("shift", Better.NEITHER, "shift"),)
    Params = ShiftParams
    Row = ShiftRow
    cases = Toy.cases
    made: ClassVar[list[str]] = []
    """What was worked out, in this process."""

    def prepare(self, models: Models, plan: Plan) -> None:
        first = self._mean(models.subject, plan.cases)
        if os.environ.get("TOY_KILL") == "between":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.params.by < 0:
            raise ZeroDivisionError("told to")
        self.kept.value("shift", lambda: self._note("shift", first + self.params.by))

    def run(self, scorer: Scorer, cases: Sequence[Case]) -> Iterator[RowDict]:
        shift = self.kept.value("shift")
        answers = scorer.ask([TextRequest(case.data["text"]) for case in cases])
        for case, answer in zip(cases, answers, strict=True):
            yield {"case_id": case.id, "status": "ok", "error": None, "shift": float(answer.logits[0]) - shift}

    def _mean(self, scorer: Scorer, cases: Sequence[Case]) -> float:
        def make() -> float:
            answers = scorer.ask([TextRequest(case.data["text"]) for case in cases])
            return self._note("mean", sum(float(answer.logits[0]) for answer in answers) / len(answers))

        return float(self.kept.value("mean", make))

    def _note(self, what: str, value: float) -> float:
        self.made.append(what)
        return value


FOUND = Found({"toy/shift": Shift, "toy/share": Toy}, {})


@pytest.fixture
def home(tmp_path: Path) -> Path:
    Shift.made.clear()
    make_checkpoint(tmp_path / "bert", "bert", "classifier")
    texts = [f"text number {i}" for i in range(10)]
    pd.DataFrame({"text": texts}).to_json(tmp_path / "texts.jsonl", orient="records", lines=True)
    return tmp_path


def spec(home: Path, **keys: Any) -> AuditSpec:
    given = {"checkpoint": str(home / "bert"), "probes": ["toy/shift"], "data": {"texts": str(home / "texts.jsonl")}}
    output = {"output": str(home / "audits"), "tracking": {"uri": "off"}}
    return AuditSpec.model_validate({**given, **output, **keys})


def plan(home: Path, **keys: Any) -> AuditPlan:
    return make_plan(spec(home, **keys), FOUND)


def test_it_is_prepared_once_and_counted(home: Path) -> None:
    planned = plan(home)
    result = run_audit(planned, start_audit(planned))
    assert Shift.made == ["mean", "shift"]
    (metric,) = result.metrics
    assert metric.value == pytest.approx(0, abs=1e-6)
    before, after = result.manifest.work
    assert (before.stage, after.stage) == ("prepare", "cases")
    assert (before.rows, after.rows, after.reused) == (10, 0, 10)
    assert before.batches >= 1
    assert before.elapsed is not None
    assert before.elapsed >= before.seconds > 0
    assert after.elapsed is None
    assert len(list((result.folder.path / "prepared").glob("*/*.json"))) == 2
    assert "prepared" not in planned.spec.canonical()


def test_a_finished_or_resumed_audit_prepares_nothing_again(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = plan(home)
    folder = start_audit(planned)
    monkeypatch.setattr(Shift, "run", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        run_audit(planned, folder)
    monkeypatch.undo()
    assert Shift.made == ["mean", "shift"]
    result = run_audit(resume_plan(folder, FOUND), folder)
    assert Shift.made == ["mean", "shift"]
    assert [(work.stage, work.rows) for work in result.manifest.work] == [("prepare", 10), ("cases", 10)]


def test_an_audit_of_the_same_shares_it_and_another_does_not(home: Path) -> None:
    shared = {"prepared": str(home / "shared")}
    first, again = (plan(home, **shared) for _ in range(2))
    (metric,) = run_audit(first, start_audit(first)).metrics
    (same,) = run_audit(again, start_audit(again)).metrics
    assert same.value == pytest.approx(metric.value, abs=1e-6)  # the first kept the answers of its preparation
    assert Shift.made == ["mean", "shift"]
    others: list[dict[str, Any]] = [
        {"probes": [{"name": "toy/shift", "params": {"by": 1.0}}]},
        {"limits": {"cases": 5}},
        {"dtype": "bf16"},
    ]
    for number, other in enumerate(others, start=2):
        planned = plan(home, **shared, **other)
        run_audit(planned, start_audit(planned))
        assert len(Shift.made) == 2 * number
    make_checkpoint(home / "bert", "bert", "classifier", seed=1)
    planned = plan(home, **shared)
    run_audit(planned, start_audit(planned))
    assert len(Shift.made) == 2 * (len(others) + 2)


def test_a_probe_that_cannot_prepare_is_missing_and_the_others_run(home: Path) -> None:
    planned = plan(home, probes=[{"name": "toy/shift", "params": {"by": -1.0}}, "toy/share"])
    result = run_audit(planned, start_audit(planned))
    why = "it could not be prepared (ZeroDivisionError: told to)"
    assert result.manifest.incomplete == {"toy/shift": why}
    found = {metric.key: metric for metric in result.metrics}
    assert (found["toy/shift/shift"].value, found["toy/shift/shift"].missing) == (None, 10)
    assert found["toy/share/share"].n == 10


def test_state_that_comes_with_a_checkpoint_is_not_trusted(home: Path) -> None:
    with pytest.raises(UsageError, match=r"prepared: .*bert/state lies in the folder of .*bert, and what comes with a"):
        plan(home, prepared=str(home / "bert" / "state"))
    inside = plan(home, output=str(home / "bert" / "audits"))
    folder = start_audit(inside)
    planted(inside, folder)
    assert run_audit(inside, folder).metrics[0].value == pytest.approx(0, abs=1e-6)
    assert Shift.made == ["mean", "shift"]
    outside = plan(home)
    folder = start_audit(outside)
    planted(outside, folder)
    value = run_audit(outside, folder).metrics[0].value
    assert value is not None
    assert abs(value) > 90, "what the audit itself has kept is read"


def planted(planned: AuditPlan, folder: AuditFolder) -> None:
    """State that says the shift is 100, where the audit will look for it."""
    from harness.audit.prepare import prepared_store

    folder.write_manifest(folder.manifest().model_copy(update={"dtype": "fp32"}))
    prepared_store(planned, planned.probes[0], folder).value("shift", lambda: 100.0)


CODE = """
import sys
from harness.audit.plan import make_plan
from harness.audit.run import resume_plan, run_audit, start_audit
from harness.audit.spec import load_spec
from tests.harness.audit.test_prepare import FOUND, Shift
from pathlib import Path
plan = make_plan(load_spec(Path(sys.argv[1])), FOUND)
run_audit(plan, start_audit(plan))
"""


@pytest.mark.slow
def test_kill_9_in_the_middle_resumes_with_what_is_there(home: Path) -> None:
    from harness.base.strict_yaml import dump_yaml

    path = home / "spec.yaml"
    path.write_text(dump_yaml(spec(home).canonical()))
    environment = {**os.environ, "TOY_KILL": "between"}
    done = subprocess.run([sys.executable, "-c", CODE, str(path)], env=environment, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    folder = next(iter(audits_in(home / "audits")))
    assert folder.manifest().status is Status.RUNNING
    kept = {file: file.read_bytes() for file in (folder.path / "prepared").glob("*/*.json")}
    assert len(kept) == 1
    result = run_audit(resume_plan(folder, FOUND), folder)
    assert Shift.made == ["shift"]
    assert {file: file.read_bytes() for file in kept} == kept
    assert [(work.stage, work.rows) for work in result.manifest.work] == [("cases", 10)]
    assert result.metrics[0].value == pytest.approx(0, abs=1e-6)
