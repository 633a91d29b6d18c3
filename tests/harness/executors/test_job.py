"""A job runs the same wherever it is taken: here, in a process of its own, from a file."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import pandas as pd
import pytest

from harness.api.job import SUBJECT, Done, Job
from harness.api.probe import RowDict
from harness.api.registry import Found, find_probes
from harness.api.scorer import Counts
from harness.audit.plan import AuditPlan, make_plan
from harness.audit.run import job_of, run_audit, start_audit
from harness.audit.spec import AuditSpec
from harness.errors import UsageError
from harness.executors import FromSources, run_job
from harness.executors.bench import installed_probe
from harness.executors.local import LocalExecutor
from tests.harness.api.toy import Toy
from tests.tiny import make_checkpoint

PROBE = "quality/classification"
_RUN_FILE = """
import pickle, sys
from pathlib import Path
from harness.executors import run_job
Path(sys.argv[2]).write_bytes(pickle.dumps(run_job(pickle.loads(Path(sys.argv[1]).read_bytes()))))
"""


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> AuditPlan:
    folder = tmp_path_factory.mktemp("job")
    make_checkpoint(folder / "bert", "bert", "classifier")
    rows = [{"text": f"a text about number {i}", "label": i % 2} for i in range(20)]
    pd.DataFrame(rows).to_json(folder / "data.jsonl", orient="records", lines=True)
    spec = {
        "checkpoint": str(folder / "bert"),
        "probes": [PROBE],
        "data": {"examples": str(folder / "data.jsonl")},
        "output": str(folder / "audits"),
    }
    return make_plan(AuditSpec.model_validate(spec))


@pytest.fixture(scope="module")
def job(plan: AuditPlan) -> Job:
    (planned,) = plan.probes
    return job_of(plan, planned, planned.cases)


@pytest.fixture(scope="module")
def by_audit(plan: AuditPlan) -> pd.DataFrame:
    """Rows of the audit itself."""
    return run_audit(plan, start_audit(plan)).folder.rows(PROBE)


def same(rows: Sequence[RowDict], by_audit: pd.DataFrame) -> None:
    found = pd.DataFrame(rows)
    for name in ("case_id", "status", "label", "predicted", "truncated"):
        assert found[name].tolist() == by_audit[name].tolist()
    assert found["nll"].tolist() == pytest.approx(by_audit["nll"].tolist(), abs=1e-6)


@pytest.mark.slow
def test_a_fresh_process_gives_the_rows_of_the_audit(job: Job, by_audit: pd.DataFrame) -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        done: Done = pool.submit(run_job, job).result(timeout=120)
    same(done.rows, by_audit)
    assert (done.counts[SUBJECT].rows, done.counts[SUBJECT].by_kind) == (20, {"classify": 20})


@pytest.mark.slow
def test_a_job_from_a_file_gives_the_rows_of_the_audit(job: Job, by_audit: pd.DataFrame, tmp_path: Path) -> None:
    given, taken = tmp_path / "job", tmp_path / "done"
    given.write_bytes(pickle.dumps(job))
    subprocess.run([sys.executable, "-c", _RUN_FILE, str(given), str(taken)], check=True)
    done: Done = pickle.loads(taken.read_bytes())
    same(done.rows, by_audit)
    assert done.counts[SUBJECT].tokens > 20


def test_jobs_of_some_cases_each_come_to_the_whole(job: Job, by_audit: pd.DataFrame) -> None:
    executor = LocalExecutor(FromSources())
    halves = [replace(job, cases=job.cases[:7]), replace(job, cases=job.cases[7:])]
    parts = [part for half in halves for part in executor.run(half)]
    same([row for part in parts for row in part.rows], by_audit)
    assert [part.counts[SUBJECT].rows for part in parts] == [7, 13]


def test_params_come_along(job: Job) -> None:
    other = replace(job, probe="quality/perplexity", params={"context": 16, "stride": 4})
    probe = installed_probe(find_probes(), other)
    assert (probe.name, probe.params.model_dump()["stride"]) == ("quality/perplexity", 4)


def test_the_model_stays_loaded_from_job_to_job(job: Job) -> None:
    bench = FromSources()
    first = bench.scorer(job)
    assert bench.scorer(replace(job, cases=job.cases[:1])) is first
    other = replace(job.models[SUBJECT], dtype="bf16")
    assert bench.scorer(replace(job, models={SUBJECT: other})) is not first


def test_what_is_not_as_planned_is_refused(job: Job, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"version .* is installed, the job was planned with 0; install that"):
        run_job(replace(job, version="0"))
    with pytest.raises(UsageError, match="no probe or suite is called 'quality/clasification'"):
        run_job(replace(job, probe="quality/clasification"))
    with pytest.raises(UsageError, match="'quality' is a suite; a job names one probe"):
        run_job(replace(job, probe="quality"))
    with pytest.raises(UsageError, match=r"params of quality/classification: unknown key 'box'"):
        run_job(replace(job, params={"box": 1}))
    make_checkpoint(tmp_path / "other", "bert", "classifier", seed=1)
    source = job.models[SUBJECT].source.model_copy(update={"source": str(tmp_path / "other")})
    with pytest.raises(UsageError, match=r"planned for .*; give this machine the same checkpoint"):
        run_job(replace(job, models={SUBJECT: replace(job.models[SUBJECT], source=source)}))


def test_probes_not_installed_can_be_given(job: Job) -> None:
    bench = FromSources(Found({"toy/share": Toy}, {}))
    assert isinstance(bench.probe(replace(job, probe="toy/share", version="1", params={})), Toy)


def test_counts_add_up() -> None:
    one = Counts(rows=3, seconds=1.5, by_kind={"classify": 3})
    two = Counts(rows=1, reused=2, by_kind={"embed": 1})
    assert one + two == Counts(rows=4, reused=2, seconds=1.5, by_kind={"classify": 3, "embed": 1})
    assert one + two - two == Counts(rows=3, seconds=1.5, by_kind={"classify": 3, "embed": 0})
