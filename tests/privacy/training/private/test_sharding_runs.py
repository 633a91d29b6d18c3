"""Whole trainings with privacy.sharding: state: one checkpoint, stopped and killed runs that go on, what is refused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from harness.errors import UsageError
from privacy.ledger import read_chain
from privacy.planning.words import planned
from privacy.training import TrainSpec, train
from privacy.training.private.guarantee import BANDED, SECURE
from privacy.training.private.ranks import Ranks
from privacy.training.private.session import LEDGER_NAME, session_folder
from tests.privacy.claim_cases import facts, genuine
from tests.privacy.processes import in_processes
from tests.privacy.toys import make_base, make_spec

STEPS = 16
STOP = 6
PRIVACY = {"noise_multiplier": 1e-9, "sampling": "shuffle", "max_grad_norm": 0.1}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("base"), "bert", "classifier", dropout=False)


def spec_of(folder: Path, base: Path, name: str, *, sharding: str = "state", **privacy: Any) -> TrainSpec:
    return make_spec(
        folder,
        base,
        epochs=2,
        averaging="ema",
        optimizer="sgd",  # Adam makes full steps of what is rounding alone
        learning_rate=0.05,
        privacy={**PRIVACY, "sharding": sharding, **privacy},
        output=folder / name,
    )


class StoppedError(Exception):
    pass


def started(spec: TrainSpec, stop: int | None = None) -> None:
    """Trains; stops between two steps of all processes, once `stop` are done."""

    def on_step(done: int, steps: int, loss: float) -> None:
        if done == stop:
            raise StoppedError

    with suppress(StoppedError):
        train(spec, progress=on_step)


def same(one: Path, other: Path) -> None:
    weights = load_file(other / "model.safetensors")
    for name, value in load_file(one / "model.safetensors").items():
        torch.testing.assert_close(value, weights[name], rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("afterwards", [2, 3])
def test_a_stopped_run_goes_on_as_if_it_had_not_been(base: Path, tmp_path: Path, afterwards: int) -> None:
    """And as one process trains; the second start may have another number of processes."""
    train(spec_of(tmp_path, base, "alone", sharding="none"))
    whole, stopped = spec_of(tmp_path, base, "whole"), spec_of(tmp_path, base, "stopped")

    def two() -> None:
        started(whole)
        started(stopped, STOP)

    in_processes(2, tmp_path, two)
    assert not stopped.output.exists()
    ledger = session_folder(stopped.output) / LEDGER_NAME
    assert read_chain(ledger).spent == STOP
    (tmp_path / "again").mkdir()
    in_processes(afterwards, tmp_path / "again", lambda: started(stopped))
    for name in ("whole", "stopped"):
        same(tmp_path / "alone", tmp_path / name)
        claim = genuine(tmp_path / name)
        assert (claim.steps, claim.steps_lost, facts(claim).drawn) == (STEPS, 0, 128)
    assert read_chain(stopped.output / LEDGER_NAME).spent == STEPS
    assert not session_folder(stopped.output).exists()


def test_one_process_has_nobody_to_share_with(base: Path, tmp_path: Path) -> None:
    spec = spec_of(tmp_path, base, "out")
    with pytest.raises(UsageError, match="shares out over several processes, and this run has one; start it by"):
        train(spec)
    assert not spec.output.exists()
    assert not session_folder(spec.output).exists()


def test_a_plan_is_made_in_one_process_and_says_so(base: Path, tmp_path: Path) -> None:
    assert "which shares nothing out" in " ".join(planned(spec_of(tmp_path, base, "out")).split())


def test_an_interrupt_does_not_wait_for_the_others(base: Path, tmp_path: Path) -> None:
    """A state is put together by all processes, and they may be in different steps: none is saved on the way out."""
    spec = spec_of(tmp_path, base, "out")

    def interrupted() -> bool:
        first = Ranks.current().first

        def on_step(done: int, steps: int, loss: float) -> None:
            if done == STOP:
                raise KeyboardInterrupt if first else StoppedError

        try:
            train(spec, progress=on_step)
        except KeyboardInterrupt:
            return True
        except StoppedError:
            return False
        raise AssertionError("nothing was raised")

    assert in_processes(2, tmp_path, interrupted) == [True, False]
    assert read_chain(session_folder(spec.output) / LEDGER_NAME).spent == STOP


def test_a_sampling_of_one_process_is_refused_by_name(base: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="truncated-poisson is drawn by one"):
        spec_of(tmp_path, base, "out", sampling="truncated-poisson", max_batch=20)


def test_digests_of_older_trainings_stay(base: Path, tmp_path: Path) -> None:
    older = make_spec(tmp_path, base, privacy=PRIVACY)
    assert "sharding" not in older.canonical()["privacy"]
    assert older.digest() == make_spec(tmp_path, base, privacy={**PRIVACY, "sharding": "none"}).digest()
    assert older.digest() != make_spec(tmp_path, base, privacy={**PRIVACY, "sharding": "state"}).digest()


@pytest.mark.parametrize("extra", [{"secure": True}, {"noise": "banded", "bands": 2}], ids=["secure", "banded"])
def test_other_noise_is_shared_out_too(base: Path, tmp_path: Path, extra: Any) -> None:
    spec = spec_of(tmp_path, base, "out", **{**extra, "noise_multiplier": 1.0})

    def trained() -> int:
        started(spec)
        return Ranks.current().rank

    assert in_processes(2, tmp_path, trained) == [0, 1]
    claim = genuine(spec.output)
    assert (claim.steps, claim.noise) == (STEPS, SECURE if "secure" in extra else BANDED)


def start(spec: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
            *("-m", "harness.cli", "train", str(spec), "--tracking-uri", "off"),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def kill_one(launcher: subprocess.Popen[bytes], ledger: Path, steps: int) -> None:
    """Send SIGKILL to the second process once the ledger holds `steps` steps; the launcher ends the first one."""
    give_up = time.monotonic() + 120
    while time.monotonic() < give_up and launcher.poll() is None:
        if ledger.exists() and ledger.read_bytes().count(b"\n") > steps:
            children = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split()
            os.kill(int(children[1]), signal.SIGKILL)
            assert launcher.wait(timeout=90) != 0
            return
        time.sleep(0.002)
    launcher.kill()
    raise AssertionError("the run ended before a process of it was killed")


@pytest.mark.slow
def test_a_run_of_which_a_process_was_killed_goes_on(base: Path, tmp_path: Path) -> None:
    steps, data = 80, make_spec(tmp_path, base).data.source
    path, output = tmp_path / "train.yaml", tmp_path / "out"
    path.write_text(
        f"base: {base}\ntask: classification\ndata: {data}\noutput: {output}\nbatch_size: 4\nepochs: 5\ndevice: cpu\n"
        "privacy: {epsilon: 8, sharding: state, save_every: 4}\n"
    )
    ledger = session_folder(output) / LEDGER_NAME
    kill_one(start(path), ledger, 20)
    before = read_chain(ledger)
    assert 20 <= before.spent < steps
    assert start(path).wait(timeout=180) == 0
    claim = genuine(output)
    assert (claim.steps, claim.processes) == (steps, 2)
    assert claim.steps_lost <= 5, "more was lost than lay between two saved states"
    assert claim.epsilon <= 8
    assert read_chain(output / LEDGER_NAME).header == before.header
