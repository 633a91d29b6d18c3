"""A private run is killed with SIGKILL, twice; it goes on, forgets no step, and keeps to its target."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from harness.provenance.manifest import read_manifest
from privacy.accounting import Mechanism, claim
from privacy.ledger import Chain, read_chain
from privacy.training.models.quantization import QuantizedLinear
from privacy.training.private.session import LEDGER_NAME, session_folder
from privacy.training.settings.spec import Quantization
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


@pytest.mark.slow
@pytest.mark.parametrize(("how", "other"), [("int8", "nf4"), ("nf4", "int8")])
def test_adapters_on_a_quantised_base_go_on(how: Quantization, other: Quantization, tmp_path: Path) -> None:
    """The base is quantised anew from the same weights, the adapters go on; another format is another training."""
    pytest.importorskip("torchao", reason="needs torchao, of the extra quantized")
    base = make_base(tmp_path / "base", "gpt2", "causal_lm", dropout=False)
    data = write_rows(tmp_path / "train.jsonl", opinions(48, seed=1))
    path, output = tmp_path / "train.yaml", tmp_path / "out"

    def asked(quantization: str) -> None:
        path.write_text(
            f"base: {base}\ntask: causal_lm\ndata: {data}\noutput: {output}\nbatch_size: 4\nepochs: 4\ndevice: cpu\n"
            f"lora: {{rank: 4, quantization: {quantization}}}\nprivacy: {{epsilon: 8, save_every: 2}}\n"
        )

    asked(how)
    ledger = session_folder(output) / LEDGER_NAME
    before = kill_after(path, ledger, 10)
    asked(other)
    process = start(path)
    said = process.communicate(timeout=120)[1].decode()
    assert process.returncode == 2, said
    assert read_chain(ledger).spent == before.spent
    asked(how)
    process = start(path)
    said = process.communicate(timeout=120)[1].decode()
    assert process.returncode == 0, said
    claim = genuine(output)
    assert (claim.steps, claim.epsilon <= 8) == (48, True)
    assert claim.steps_lost <= 3
    assert read_chain(output / LEDGER_NAME).header == before.header
    first, last = (load_file(folder / "model.safetensors") for folder in (base, output))
    frozen, trained = "transformer.h.0.mlp.c_fc.weight", "transformer.h.0.attn.c_attn.weight"
    layer = torch.nn.Linear(first[frozen].shape[1], first[frozen].shape[0], bias=False)
    layer.weight.data = first[frozen]
    stood_for = QuantizedLinear(layer, how).original().weight
    assert not torch.equal(last[frozen], first[frozen])
    torch.testing.assert_close(last[frozen], stood_for, rtol=0, atol=0)
    assert (last[trained] - first[trained]).abs().max() > 0
