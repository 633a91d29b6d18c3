"""Training on a GPU, plain and private: the CPU's weights, and how often a step waits for the device."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState
from safetensors.torch import load_file

from privacy.clipping import BookKeepingEngine, ClippingEngine, OneSampleEngine
from privacy.clipping.opacus_modes import OpacusHooksEngine
from privacy.training import TrainSpec, train
from privacy.training.data.batches import Collator
from privacy.training.plain.engine import PlainEngine
from privacy.training.records.progress import StepTotals
from tests.fakegpu import Counts, fake_cuda
from tests.privacy.clipping_cases import make_batch, make_model, run
from tests.privacy.toys import make_base, make_spec

EXACT = {"noise_multiplier": 0.0, "max_grad_norm": 1.0, "sampling": "shuffle"}
"""Nothing at random: the same steps on either device."""
PARTS = 4
"""Micro-batches of a step."""
PRIVATE = {"book-keeping": (5, 3), "one-sample": (5, 2), "opacus-hooks": (5, 3)}
"""Engine -> waits of a step, one of them whether the weights are numbers where a state is saved, and further ones of
each micro-batch: the model's own look at its mask, how many samples have no finite gradient, and what the engine asks
(samples that must be formed; which are to be left out)."""
PLAIN = (1, 1)
"""The loss, and the model's own look at its mask."""
SAVING = "privacy/ledger/state.py"
"""A saved state is copied to the host, weight by weight; a run of a few steps saves at each."""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("base"), "bert", "classifier", dropout=False)


@contextmanager
def on_cuda() -> Iterator[Counts]:
    """The fake device, with accelerate's memory of the device it saw first wiped before and after."""
    AcceleratorState._reset_state(reset_partial_state=True)
    try:
        with fake_cuda() as counts:
            yield counts
    finally:
        AcceleratorState._reset_state(reset_partial_state=True)


def spec_of(folder: Path, base: Path, **fields: Any) -> TrainSpec:
    folder.mkdir()
    return make_spec(folder, base, **{"device": "cuda", "batch_size": 16, "accumulation": PARTS, "epochs": 1, **fields})


def steps_on_cuda(spec: TrainSpec) -> list[Counts]:
    """What each step but the first two, which check and warm up, makes the host wait for."""
    seen: list[Counts] = []
    with on_cuda() as counts:
        train(spec, progress=lambda step, _, loss: seen.append(counts.copy()) if step and loss == loss else None)
    return [later.since(earlier) for earlier, later in pairwise(seen[1:])]


def weights(spec: TrainSpec) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = load_file(spec.output / "model.safetensors")
    return {name: value for name, value in found.items() if not name.endswith("key.bias")}
    # the gradient of these is zero but for rounding, of which Adam makes full steps


def trained_alike(tmp_path: Path, base: Path, **fields: Any) -> list[Counts]:
    ours, theirs = (spec_of(tmp_path / name, base, **fields, device=name) for name in ("cuda", "cpu"))
    steps = steps_on_cuda(ours)
    train(theirs)
    torch.testing.assert_close(weights(ours), weights(theirs), rtol=1e-4, atol=2e-5)
    assert steps
    return steps


def check(steps: list[Counts], once: int, each: int, parts: int = PARTS) -> None:
    for found in steps:
        assert found.ops > 100
        waits = found.waits - found.waits_at(SAVING)
        assert waits <= once + each * parts, (waits, found.places)


def test_plain_training(base: Path, tmp_path: Path) -> None:
    check(trained_alike(tmp_path, base, max_grad_norm=1.0), *PLAIN)


@pytest.mark.parametrize("engine", PRIVATE)
def test_private_training(base: Path, tmp_path: Path, engine: str) -> None:
    steps = trained_alike(tmp_path, base, privacy={**EXACT, "engine": engine})
    check(steps, *PRIVATE[engine], parts=16 if engine == "one-sample" else PARTS)


@pytest.mark.parametrize("private", [False, True])
def test_layers_over_states_that_were_read_once(base: Path, tmp_path: Path, private: bool) -> None:
    fields = {"privacy": EXACT} if private else {"max_grad_norm": 1.0}
    once, each = PRIVATE["book-keeping"] if private else PLAIN
    check(trained_alike(tmp_path, base, mode="last-layers", **fields), once, each)


def test_noise_is_drawn_on_the_device(base: Path, tmp_path: Path) -> None:
    spec = spec_of(tmp_path / "noisy", base, privacy={"epsilon": 8, "clipping": "adaptive"})
    check(steps_on_cuda(spec), *PRIVATE["book-keeping"], parts=2 * PARTS)  # 32 records drawn instead of 16, at most


@pytest.mark.parametrize("engine", [BookKeepingEngine, OneSampleEngine, OpacusHooksEngine])
@pytest.mark.parametrize("clipping", ["flat", "per-layer"])
@pytest.mark.parametrize(("kind", "head"), [("bert", "classifier"), ("gpt2", "causal_lm"), ("llama", "causal_lm")])
def test_clipped_sums_are_those_of_the_cpu(kind: str, head: str, engine: type[ClippingEngine], clipping: Any) -> None:
    model = make_model(kind, head)
    batch = make_batch(model, head)
    there = copy.deepcopy(model)
    made = engine(model, max_grad_norm=0.5, clipping=clipping)
    stats = run(made, model, batch, head)
    with fake_cuda():
        there = there.to("cuda")
        other = engine(there, max_grad_norm=0.5, clipping=clipping)
        found = run(other, there, {name: value.to("cuda") for name, value in batch.items()}, head)
        sums = {name: value.cpu() for name, value in other.summed_grads().items()}
        assert (found.clipped, found.non_finite) == (stats.clipped, stats.non_finite)
    torch.testing.assert_close(sums, made.summed_grads(), rtol=0, atol=1e-12)


def faulty_batch(self: Any, part: Any) -> Any:
    records = [self._work.encoded.records[index] for index in part]
    return self._work.collator.micro_batch(records, self._work.length)


def test_a_batch_left_on_the_cpu_is_caught(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("privacy.training.private.loop.PrivateTraining._batch", faulty_batch)
    with pytest.raises(Exception, match="two devices"), on_cuda():
        train(spec_of(tmp_path / "fault", base, privacy=EXACT))


def reads_each_loss(self: StepTotals, losses: torch.Tensor, stats: Any) -> None:
    plain_add(self, losses, stats)
    assert all(loss.item() < 1e9 for loss in losses)


plain_add = StepTotals.add


def test_a_hidden_read_in_a_private_step_is_caught(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StepTotals, "add", reads_each_loss)
    steps = steps_on_cuda(spec_of(tmp_path / "fault", base, privacy=EXACT))
    with pytest.raises(AssertionError):
        check(steps, *PRIVATE["book-keeping"])


def copies_gradients(self: PlainEngine, batch: Any) -> float:
    loss = plain_step(self, batch)
    for value in self._model.parameters():
        value.data.copy_(value.detach().cpu())
    return loss


plain_step = PlainEngine.step


def test_a_silent_copy_in_a_plain_step_is_caught(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PlainEngine, "step", copies_gradients)
    steps = steps_on_cuda(spec_of(tmp_path / "fault", base))
    with pytest.raises(AssertionError):
        check(steps, *PLAIN)


def numpy_of_a_batch(self: Collator, *args: Any) -> Any:
    return {name: torch.from_numpy(value.to("cuda").numpy()) for name, value in plain_micro_batch(self, *args).items()}


plain_micro_batch = Collator.micro_batch


def test_numpy_of_the_device_is_caught(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Collator, "micro_batch", numpy_of_a_batch)
    with pytest.raises(Exception, match="can't convert cuda:0 device type tensor to numpy"), on_cuda():
        train(spec_of(tmp_path / "fault", base, privacy=EXACT))
