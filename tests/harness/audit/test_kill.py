"""A real run is killed with SIGKILL at several points; resume repeats nothing and ends with the same metrics."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from harness.record.events import EVENTS, Ended, MetricSoFar, Planned, Progress, Started, Tail, Written, read_events
from harness.record.folder import AuditFolder, Status, audits_in
from harness.record.rows import row_parts
from tests.tiny import make_checkpoint

PROBE = "quality/classification"
CASES = 640
LOST = 16
"""Cases of one call and part here, by number: by time the whole audit, which takes a second, would be one part."""
_BY_CASES = f"pace.SECONDS, pace.FIRST = 0.0, {LOST}"
_SAME_SIZE = "pace.Pace.returned = lambda *_: None"
ASSAY = [
    sys.executable,
    "-c",
    f"from harness.executors import pace; {_BY_CASES}; {_SAME_SIZE}; from harness.cli import main; main()",
]


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kill")
    make_checkpoint(folder / "bert", "bert", "classifier")
    rows = [{"text": f"a text about number {i} " * 20, "label": i % 2} for i in range(CASES)]
    pd.DataFrame(rows).to_json(folder / "data.jsonl", orient="records", lines=True)
    path = folder / "audit.yaml"
    path.write_text(
        f"checkpoint: {folder / 'bert'}\nprobes: [{PROBE}]\ndata: {{examples: {folder / 'data.jsonl'}}}\n"
        "tracking: {uri: 'off'}\n"
    )
    return path


def start(spec: Path, output: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*ASSAY, "run", str(spec), "--output", str(output)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        preexec_fn=hear_ctrl_c,
    )


def hear_ctrl_c() -> None:
    """A test run in the background ignores Ctrl-C, and a process inherits that; the audit must not."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture(scope="module")
def whole(spec: Path, tmp_path_factory: pytest.TempPathFactory) -> AuditFolder:
    """The same audit, undisturbed."""
    output = tmp_path_factory.mktemp("whole")
    process = start(spec, output)
    assert process.wait(timeout=120) == 3, process.stderr and process.stderr.read().decode()
    return next(iter(audits_in(output)))


def stop_at(process: subprocess.Popen[bytes], output: Path, parts: int, how: signal.Signals) -> AuditFolder:
    """Send `how` as soon as `parts` parts of rows lie on disk."""
    give_up = time.monotonic() + 120
    while time.monotonic() < give_up:
        folder = next(iter(audits_in(output)), None)
        if folder is not None and len(row_parts(folder.path, PROBE)) >= parts:
            os.kill(process.pid, how)
            process.wait(timeout=60)
            return folder
        time.sleep(0.002)
    raise AssertionError("the audit never got so far")


def measured(folder: AuditFolder) -> list[tuple[str, str, object]]:
    """Metrics as printed: a last digit depends on which texts share a batch."""
    return [(each.key, each.slice, each.value and f"{each.value:.6f}") for each in folder.metrics()]


@pytest.mark.slow
@pytest.mark.parametrize("parts", [0, 1, 4])
def test_kill_9_then_resume(spec: Path, whole: AuditFolder, tmp_path: Path, parts: int) -> None:
    folder = stop_at(start(spec, tmp_path), tmp_path, parts, signal.SIGKILL)
    assert folder.verdict() is None
    assert folder.manifest().status is Status.RUNNING
    finished = {part: (part.read_bytes(), part.stat().st_mtime_ns) for part in row_parts(folder.path, PROBE)}
    done = len(folder.rows(PROBE))
    assert parts <= len(finished) < CASES // LOST, "killed too late to prove anything"
    code = subprocess.run([*ASSAY, "resume", str(folder.path)], capture_output=True, check=False).returncode
    assert code == 3  # no policy
    assert {part: (part.read_bytes(), part.stat().st_mtime_ns) for part in finished} == finished
    assert measured(folder) == measured(whole)
    assert sum(work.rows for work in folder.manifest().work) == CASES - done
    rows = folder.rows(PROBE)
    assert rows["case_id"].is_unique
    assert len(rows) == CASES


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_keeps_rows_and_says_how_to_go_on(spec: Path, tmp_path: Path, how: signal.Signals) -> None:
    process = start(spec, tmp_path)
    folder = stop_at(process, tmp_path, 1, how)
    assert process.returncode == 130
    assert process.stderr is not None
    assert f"assay resume {folder.path}" in process.stderr.read().decode().replace("\n", "")
    assert folder.manifest().status is Status.INTERRUPTED
    assert len(folder.rows(PROBE)) >= LOST


@pytest.mark.slow
def test_a_second_process_is_refused_and_nothing_is_lost(spec: Path, whole: AuditFolder, tmp_path: Path) -> None:
    first = start(spec, tmp_path)
    give_up = time.monotonic() + 120
    while not (row_parts(folder.path, PROBE) if (folder := next(iter(audits_in(tmp_path)), None)) else ()):
        assert time.monotonic() < give_up
        time.sleep(0.002)
    os.kill(first.pid, signal.SIGSTOP)
    try:
        command = [*ASSAY, "resume", "latest", "--output", str(tmp_path)]
        second = subprocess.run(command, capture_output=True, text=True, check=False)
        assert folder is not None
        assert folder.manifest().status is Status.RUNNING  # the one refused does not call the other's audit failed
    finally:
        os.kill(first.pid, signal.SIGCONT)
    assert second.returncode == 2
    assert f"process {first.pid} on " in second.stderr
    assert "works on this audit; wait for it to end, or stop it and run `assay resume`" in second.stderr
    assert first.wait(timeout=120) == 3
    assert folder.manifest().status is Status.FINISHED
    assert measured(folder) == measured(whole)
    assert folder.count(PROBE) == CASES


@pytest.mark.slow
def test_events_of_a_killed_audit_are_read_and_go_on(spec: Path, tmp_path: Path) -> None:
    process = start(spec, tmp_path)
    folder = stop_at(process, tmp_path, 4, signal.SIGKILL)
    before = (folder.path / EVENTS).read_bytes()
    found = read_events(folder.path)
    assert [event.event for event in found[:3]] == ["planned", "started", "progress"]
    assert isinstance(found[0], Planned)
    assert found[0].probes == {PROBE: CASES}
    assert not any(isinstance(event, Ended) for event in found)
    (folder.path / EVENTS).write_bytes(before + b'{"v":1,"event":"progress","pro')
    done = folder.count(PROBE)
    tail = Tail(folder.path, from_now=True)
    assert subprocess.run([*ASSAY, "resume", str(folder.path)], capture_output=True, check=False).returncode == 3
    assert (folder.path / EVENTS).read_bytes().startswith(before)
    later = tail.new()
    assert isinstance(later[0], Started)
    assert (later[0].done, later[0].pid == process.pid) == ({PROBE: done}, False)
    assert sum(event.rows for event in later if isinstance(event, Written)) == CASES - done
    assert [event.done for event in later if isinstance(event, Progress)][-1] == CASES
    told = {event.metric: event.value for event in later if isinstance(event, MetricSoFar) and event.final}
    assert told == {each.key: each.value for each in folder.metrics() if not each.slice}
    assert later[-1].model_copy(update={"at": ""}) == Ended(event="finished", outcome="inconclusive")
