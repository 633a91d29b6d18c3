"""A hardening whose process is killed without a word."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import yaml

from harness.record.rows import read_rows, row_parts
from suites.adversarial.harden import load_harden_spec, run_hardening
from tests.suites.adversarial.harden.toy import N, make_train, manifest_of

PROBE = "adversarial/deepwordbug"


def test_a_killed_process_leaves_what_it_had(tmp_path: Path) -> None:
    """SIGKILL as soon as the first rows of the attack are on disk."""
    values = {
        "train": make_train(tmp_path, epochs=2),
        "method": "augment",
        "recipe": "deepwordbug",
        "share": 1.0,
        "query_budget": 8,
        "concurrent": 4,
        "control": False,
        "output": str(tmp_path / "out"),
    }
    file = tmp_path / "harden.yaml"
    file.write_text(yaml.safe_dump(values))
    spec = load_harden_spec(file)
    code = "from harness.executors import pace; pace.SECONDS = 0.0; from harness.cli import main; main()"
    process = subprocess.Popen([sys.executable, "-c", code, "harden", str(file)], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not row_parts(spec.output / "rounds" / "1", PROBE):
        assert process.poll() is None, "it ended before it was killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    parts = {path: path.read_bytes() for path in row_parts(spec.output / "rounds" / "1", PROBE)}
    assert len(read_rows(spec.output / "rounds" / "1", PROBE)) < N
    assert not (spec.output / "after").exists()
    result = run_hardening(spec)
    assert all(path.read_bytes() == content for path, content in parts.items())  # nothing was attacked again
    assert len(read_rows(spec.output / "rounds" / "1", PROBE)) == N
    assert result.report.hardening.rounds[0].attacked == N
    assert manifest_of(spec.output / "after").hardening == result.report.hardening
