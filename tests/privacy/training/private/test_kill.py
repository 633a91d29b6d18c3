"""A private run is killed with SIGKILL, twice; it goes on, forgets no step, and keeps to its target."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.provenance.manifest import read_manifest
from privacy.accounting import Mechanism, claim
from privacy.ledger import Chain, read_chain
from privacy.training.private.session import LEDGER_NAME, session_folder
from tests.privacy.claim_cases import genuine
from tests.privacy.toys import make_base, opinions, write_rows

STEPS, SAVE_EVERY = 120, 7


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    base = make_base(tmp_path / "base", "bert", "classifier")
    data = write_rows(tmp_path / "train.jsonl", opinions(120, seed=1))
    path = tmp_path / "train.yaml"
    path.write_text(
        f"base: {base}\ntask: classification\ndata: {data}\noutput: {tmp_path / 'out'}\nbatch_size: 4\nepochs: 4\n"
        f"device: cpu\nprivacy: {{epsilon: 4, save_every: {SAVE_EVERY}}}\n"
    )
    return path


def start(spec: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "harness.cli", "train", str(spec), "--tracking-uri", "off"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def kill_after(spec: Path, ledger: Path, steps: int) -> Chain:
    """Send SIGKILL as soon as the ledger holds `steps` steps."""
    process = start(spec)
    give_up = time.monotonic() + 120
    while time.monotonic() < give_up and process.poll() is None:
        if ledger.exists() and ledger.read_bytes().count(b"\n") > steps:
            os.kill(process.pid, signal.SIGKILL)
            process.wait(timeout=60)
            return read_chain(ledger)
        time.sleep(0.002)
    process.kill()
    raise AssertionError(f"the run ended before it was killed: {process.stderr and process.stderr.read().decode()}")


@pytest.mark.slow
def test_no_step_is_forgotten(spec: Path, tmp_path: Path) -> None:
    ledger = session_folder(tmp_path / "out") / LEDGER_NAME
    first = kill_after(spec, ledger, 20)
    second = kill_after(spec, ledger, first.spent + 20)
    assert 20 <= first.spent < second.spent < STEPS
    process = start(spec)
    assert process.wait(timeout=120) == 0, process.stderr and process.stderr.read().decode()
    manifest = read_manifest(tmp_path / "out")
    assert manifest is not None
    found = genuine(tmp_path / "out")
    assert (manifest.steps, found.steps) == (STEPS, STEPS)
    assert found.steps_lost <= 2 * SAVE_EVERY, "more was lost than lay between two saved states"
    assert found.epsilon <= 4
    assert claim(Mechanism(found.noise_multiplier, found.sample_rate, STEPS), found.delta).epsilon == found.epsilon
    whole = read_chain(tmp_path / "out" / LEDGER_NAME)
    assert whole.header == first.header == second.header
    assert whole.head == found.ledger == first.head_after(STEPS)
