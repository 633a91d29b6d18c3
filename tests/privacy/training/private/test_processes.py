"""Private training in one, two and four processes: the same sums, noise once, the same steps."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from scipy import stats

from harness.errors import AuditError
from privacy.clipping import BookKeepingEngine
from privacy.clipping.rules import Adaptive
from privacy.noise import SecureNoise
from privacy.noise.discrete import SIGMA_BITS
from privacy.sampling import LogicalBatches, PoissonSampling, Shard
from privacy.training import train
from privacy.training.private.ranks import Ranks
from privacy.training.private.session import session_folder
from privacy.training.private.shared_step import SharedOptimizer
from tests.privacy.claim_cases import facts, genuine
from tests.privacy.processes import in_processes
from tests.privacy.toys import make_base, make_spec, opinions, write_rows

WORLDS = (1, 2, 4)
SHAPE = (40, 50)


def step(noise: float, drawn: list[int], *, clipping: Any = "flat", secure: bool = False) -> dict[str, Any]:
    """One shared step over this process' part of `drawn`; the gradient and the optimizer's totals."""
    ranks = Ranks.current()
    torch.manual_seed(0)
    model = torch.nn.Linear(*SHAPE, bias=False).double()
    inputs = torch.randn(64, SHAPE[0], dtype=torch.float64)
    engine = BookKeepingEngine(model, max_grad_norm=0.5, clipping=clipping)
    optimizer = SharedOptimizer(
        torch.optim.SGD(model.parameters(), lr=0.0),
        ranks=ranks,
        engine=engine,
        noise_multiplier=noise,
        expected_batch_size=8,
        generator=torch.Generator().manual_seed(7),
        noise=SecureNoise(model.weight.numel(), noise) if secure else None,
    )
    mine = drawn[ranks.rank :: ranks.world]
    with engine.recording(len(mine)):
        losses = model(inputs[mine]).square().sum(dim=1) if mine else torch.zeros(0)
    engine.backward(losses)
    optimizer.totals = torch.tensor([float(len(mine))], dtype=torch.float64)
    optimizer.step()
    assert model.weight.grad is not None
    return {"grad": model.weight.grad, "drawn": float(optimizer.totals), "norm": engine.rule.max_grad_norm}


@pytest.mark.parametrize("drawn", [list(range(11)), [5], []], ids=["eleven", "one", "none"])
def test_the_clipped_sums_are_the_same_in_any_number_of_processes(tmp_path: Path, drawn: list[int]) -> None:
    alone = step(0.0, drawn)
    for world in WORLDS[1:]:
        for found in in_processes(world, tmp_path, lambda: step(0.0, drawn)):
            torch.testing.assert_close(found["grad"], alone["grad"], rtol=1e-12, atol=1e-15)
            assert found["drawn"] == len(drawn)


def test_adaptive_clipping_counts_all_processes(tmp_path: Path) -> None:
    def adaptive() -> dict[str, Any]:
        return step(0.0, list(range(11)), clipping=Adaptive(0.5, count_noise=0.0))

    alone = adaptive()
    assert alone["norm"] != 0.5
    for found in in_processes(2, tmp_path, adaptive):
        assert found["norm"] == pytest.approx(alone["norm"], rel=1e-12)


@pytest.mark.parametrize("world", WORLDS)
def test_noise_is_drawn_once(tmp_path: Path, world: int) -> None:
    """Chi-square: 2,000 coordinates of noise alone, standard deviation sigma C / B."""
    grads = [found["grad"].flatten() for found in in_processes(world, tmp_path, lambda: step(3.0, []))]
    assert all(torch.equal(grad, grads[0]) for grad in grads), "the processes would take different steps"
    statistic = float((grads[0] / (3.0 * 0.5 / 8)).square().sum())
    low, high = stats.chi2.ppf([1e-4, 1 - 1e-4], SHAPE[0] * SHAPE[1])
    assert low < statistic < high


@pytest.mark.parametrize("world", WORLDS)
def test_secure_noise_comes_after_the_sums_of_all_processes(tmp_path: Path, world: int) -> None:
    """Sums added to what was noised would show between the points of the grid."""
    drawn = list(range(11))
    clean = step(0.0, drawn)["grad"]
    found = in_processes(world, tmp_path, lambda: step(1.0, drawn, secure=True, clipping=Adaptive(0.5)))
    assert all(torch.equal(each["grad"], found[0]["grad"]) for each in found)
    assert all((each["norm"], each["drawn"]) == (found[0]["norm"], 11.0) for each in found)
    released = found[0]["grad"] * 8
    size = Adaptive(0.5).gradient_noise(1.0) * 0.5
    step_size = size / (1 - math.sqrt(released.numel()) / 2**SIGMA_BITS) / 2**SIGMA_BITS
    places = released / step_size
    assert float((places - places.round()).abs().max()) < 1e-5
    noise = (released - clean * 8).flatten() / size
    assert stats.kstest(noise.numpy(), "norm").pvalue > 1e-9  # not seeded


def test_every_process_takes_every_step_even_with_nothing_drawn(tmp_path: Path) -> None:
    """Opacus' distributed sampler leaves out a rank's empty batches, so that its ranks part ways."""

    def steps() -> list[int]:
        ranks = Ranks.current()
        sampling = PoissonSampling(records=40, expected_batch_size=2, steps=30)
        drawn = list(LogicalBatches(sampling, shard=Shard(ranks.rank, ranks.world)))
        assert any(not indices for _, indices in drawn)
        return [step for step, _ in drawn]

    assert in_processes(4, tmp_path, steps) == [list(range(30))] * 4


def test_other_weights_are_noticed(tmp_path: Path) -> None:
    def check() -> str:
        ranks = Ranks.current()
        try:
            ranks.check_same([("weight", torch.full((2,), float(ranks.rank)))])
        except Exception as error:
            return str(error)
        return ""

    for said in in_processes(2, tmp_path, check):  # in both: the other one would wait for ever
        assert "process 1 holds other weights than process 0" in said


def test_another_frozen_base_is_noticed_before_a_step_is_spent(tmp_path: Path) -> None:
    """Adapters and heads begin alike on any base."""
    folders = [make_base(tmp_path / name, "bert", "classifier", dropout=False) for name in ("one", "two")]
    weights = load_file(folders[1] / "model.safetensors")
    weights["bert.embeddings.word_embeddings.weight"] += 0.01
    save_file(weights, folders[1] / "model.safetensors", metadata={"format": "pt"})

    def trained() -> str:
        base = folders[Ranks.current().rank]
        spec = make_spec(tmp_path, base, lora={"rank": 2}, privacy={"epsilon": 8}, output=tmp_path / "out")
        try:
            train(spec)
        except AuditError as error:
            return str(error)
        return "trained"

    for said in in_processes(2, tmp_path, trained):
        assert "process 1 holds other weights than process 0" in said
    assert not (tmp_path / "out").exists()
    assert not session_folder(tmp_path / "out").exists()


def train_with(processes: int, folder: Path, spec: str) -> None:
    path = folder / f"spec-{processes}.yaml"
    path.write_text(spec)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    start = launcher if processes > 1 else []
    done = subprocess.run(
        [sys.executable, *start, "-m", "harness.cli", "train", str(path), "--tracking-uri", "off"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("epsilon <= ") == 1, "only the first process speaks"


def test_a_launcher_trains_one_checkpoint(tmp_path: Path) -> None:
    base = make_base(tmp_path / "base", "bert", "classifier", dropout=False)
    data = write_rows(tmp_path / "train.jsonl", opinions(48, seed=1))
    for processes in (1, 2):
        train_with(
            processes,
            tmp_path,
            f"base: {base}\ntask: classification\ndata: {data}\noutput: {tmp_path / str(processes)}\nbatch_size: 16\n"
            "learning_rate: 1.0e-3\nepochs: 2\ndevice: cpu\n"
            "privacy: {noise_multiplier: 1.0e-9, sampling: shuffle, max_grad_norm: 0.1}\n",
        )
    one, two = (load_file(tmp_path / str(processes) / "model.safetensors") for processes in (1, 2))
    for name, value in one.items():
        if name.endswith("key.bias"):
            continue  # its gradient is zero but for rounding, of which Adam makes full steps
        torch.testing.assert_close(two[name], value, rtol=1e-3, atol=1e-5)
    claim = genuine(tmp_path / "2")
    assert (claim.processes, facts(claim).drawn) == (2, 96)
