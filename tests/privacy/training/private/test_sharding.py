"""Sums, noise and optimizer state shared out over processes: the same steps, noise once on each weight, fewer bytes."""

from __future__ import annotations

import itertools
import math
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from scipy import stats
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from harness.base.files import make_folder
from harness.errors import AuditError
from privacy.clipping import BookKeepingEngine, ClippingError
from privacy.clipping.rules import Adaptive
from privacy.noise import BandedNoise, GeneratorNoise, NoiseSource, SecureNoise
from privacy.noise.discrete import SIGMA_BITS
from privacy.sampling import fresh_torch_generator
from privacy.training.private.ranks import Ranks
from privacy.training.private.sharding import Piece, StateShardedOptimizer, partition
from privacy.training.private.shared_step import SharedOptimizer
from tests.privacy.processes import in_processes

RECORDS = 24
Make = Callable[[list[dict[str, Any]]], torch.optim.Optimizer]
OPTIMIZERS: dict[str, Make] = {
    "sgd": lambda groups: torch.optim.SGD(groups, lr=0.3),
    "momentum": lambda groups: torch.optim.SGD(groups, lr=0.1, momentum=0.9),
    "adamw": lambda groups: torch.optim.AdamW(groups, lr=0.05),
}


class Run:
    """A small model that is trained privately, in as many processes as there are."""

    def __init__(
        self,
        optimizer: str = "adamw",
        *,
        sharded: bool = True,
        noise: float = 0.0,
        clipping: Any = "flat",
        source: Callable[[int], NoiseSource] | None = None,
        width: int = 11,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        torch.manual_seed(0)
        self.ranks = Ranks.current()
        self.model = torch.nn.Sequential(
            torch.nn.Linear(7, width), torch.nn.Tanh(), torch.nn.LayerNorm(width), torch.nn.Linear(width, 3)
        ).to(dtype)
        self.inputs, self.targets = torch.randn(RECORDS, 7, dtype=dtype), torch.randint(3, (RECORDS,))
        values = list(self.model.parameters())
        groups = [
            {"params": [value for value in values if value.ndim > 1], "weight_decay": 0.1},
            {"params": [value for value in values if value.ndim <= 1], "weight_decay": 0.0},
        ]
        self.engine = BookKeepingEngine(self.model, max_grad_norm=0.5, clipping=clipping)
        self.optimizer = (StateShardedOptimizer if sharded else SharedOptimizer)(
            OPTIMIZERS[optimizer](groups),
            ranks=self.ranks,
            engine=self.engine,
            noise_multiplier=noise,
            expected_batch_size=8,
            generator=fresh_torch_generator(),
            noise=source(sum(value.numel() for value in values)) if source else None,
        )

    def sum_up(self, drawn: list[int]) -> None:
        """Clipped gradients of this process' share of `drawn`, in micro-batches of two."""
        self.optimizer.zero_grad(set_to_none=True)
        mine = drawn[self.ranks.rank :: self.ranks.world]
        for part in [mine[start : start + 2] for start in range(0, len(mine), 2)] or [[]]:
            with self.engine.recording(len(part)):
                losses = torch.nn.functional.cross_entropy(
                    self.model(self.inputs[part]), self.targets[part], reduction="none"
                )
            self.engine.backward(losses if part else torch.zeros(0))

    def step(self, drawn: list[int]) -> None:
        self.sum_up(drawn)
        self.optimizer.totals = torch.tensor([float(len(drawn[self.ranks.rank :: self.ranks.world]))]).double()
        self.optimizer.step()

    def train(self, steps: range) -> None:
        for step in steps:
            size = step % 4 * 3  # every fourth is empty
            self.step(np.random.default_rng(step).choice(RECORDS, size, replace=False).tolist())

    def weights(self) -> torch.Tensor:
        return torch.cat([value.detach().flatten() for value in self.model.parameters()])

    def released(self, steps: int) -> torch.Tensor:
        """What `steps` steps of noise alone do to the weights under SGD of rate 1 [steps, weights]."""
        for group in self.optimizer.param_groups:
            group.update(lr=1.0, weight_decay=0.0)
        found = []
        for _ in range(steps):
            before = self.weights()
            self.step([])
            found.append(before - self.weights())
        return torch.stack(found)


@pytest.mark.parametrize(("sizes", "processes"), [((3, 5, 4), 2), ((1, 1), 4), ((10,), 3), ((4, 0, 4), 2), ((7,), 1)])
def test_every_number_has_one_owner(sizes: tuple[int, ...], processes: int) -> None:
    tensors = {str(place): torch.zeros(size) for place, size in enumerate(sizes)}
    owned = partition({name: value.numel() for name, value in tensors.items()}, processes)
    held = []
    for pieces in owned:
        for name, piece in pieces.items():
            piece.of(tensors[name]).add_(1)
        held.append(sum(piece.stop - piece.start for piece in pieces.values()))
    assert all((value == 1).all() for value in tensors.values())
    assert len(owned) == processes
    assert max(held) == -(-sum(sizes) // processes), "one process owns more than its share"


def test_a_piece_is_a_view() -> None:
    whole = torch.arange(6.0).view(2, 3)
    Piece(2, 4).of(whole).zero_()
    assert whole.tolist() == [[0, 1, 0], [0, 4, 5]]


@pytest.mark.parametrize("drawn", [list(range(11)), [5], []], ids=["eleven", "one", "none"])
def test_the_clipped_sums_are_those_of_one_process(tmp_path: Path, drawn: list[int]) -> None:
    def released() -> tuple[torch.Tensor, float]:
        run = Run("sgd")
        for group in run.optimizer.param_groups:
            group.update(lr=1.0, weight_decay=0.0)
        before = run.weights()
        run.step(drawn)
        return (before - run.weights()) * 8, float(run.optimizer.totals)

    one = Run("sgd", sharded=False)
    one.sum_up(drawn)
    alone = torch.cat([value.flatten() for value in one.engine.summed_grads().values()])
    for world in (2, 3):
        for found, counted in in_processes(world, tmp_path, released):
            torch.testing.assert_close(found, alone, rtol=0, atol=5e-6)  # the weights it is read from are near 1
            assert counted == len(drawn)


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_the_weights_after_some_steps_are_those_of_one_process(tmp_path: Path, kind: str) -> None:
    def trained() -> torch.Tensor:
        run = Run(kind, clipping=Adaptive(0.5, count_noise=0.0))
        run.train(range(9))
        return run.weights()

    alone = Run(kind, sharded=False, clipping=Adaptive(0.5, count_noise=0.0))
    start = alone.weights()
    alone.train(range(9))
    assert float((alone.weights() - start).abs().max()) > 1e-2
    first, second = in_processes(2, tmp_path, trained)
    assert torch.equal(first, second)
    torch.testing.assert_close(first, alone.weights(), rtol=1e-5, atol=1e-6)


def borders(world: int) -> list[int]:
    """Where the ranges of the processes begin and end."""
    owned = partition({name: value.numel() for name, value in Run("sgd", sharded=False).engine.trained.items()}, world)
    return list(itertools.accumulate(sum(piece.stop - piece.start for piece in each.values()) for each in owned))


def test_each_weight_gets_noise_once_and_no_two_shards_the_same(tmp_path: Path) -> None:
    """Over 400 steps, deviation sigma C / B: chi-square of each weight and shard, correlations of shards and steps."""
    steps, deviation = 400, 3.0 * 0.5 / 8
    found = in_processes(2, tmp_path, lambda: Run("sgd", noise=3.0).released(steps))
    assert torch.equal(found[0], found[1]), "the processes took different steps"
    noise = (found[0] / deviation).double().numpy()
    squares = (noise**2).sum(axis=0)
    low, high = stats.chi2.ppf([1e-6, 1 - 1e-6], steps)
    assert low < squares.min(), "a weight has no noise"
    assert squares.max() < high, "a weight has noise twice"
    half = borders(2)[0]
    shards = noise[:, :half], noise[:, half:]
    for shard in shards:
        low, high = stats.chi2.ppf([1e-5, 1 - 1e-5], shard.size)
        assert low < (shard**2).sum() < high
    paired = shards[0][:, : shards[1].shape[1]]
    for later in (0, 1):  # a common stream would show in the same step, a repeated one in the next
        one, other = paired[: steps - later].ravel(), shards[1][later:].ravel()
        assert abs(np.corrcoef(one, other)[0, 1]) < 5 / math.sqrt(one.size)
    across = shards[0].T @ shards[1] / steps
    assert abs(across).max() < 6.5 / math.sqrt(steps), "weights of two shards share their noise"
    # every step of a shard has noise of its own
    assert stats.kstest(noise[0], "norm").pvalue > 1e-9


def test_noise_is_drawn_by_each_owner_for_its_own_weights_alone(tmp_path: Path) -> None:
    class Counted(GeneratorNoise):
        drawn = 0

        def add(self, summed: torch.Tensor, deviation: float, place: int) -> None:
            Counted.drawn += summed.numel()
            super().add(summed, deviation, place)

    def drawn() -> int:
        run = Run(noise=1.0, source=lambda _: Counted(fresh_torch_generator()))
        run.step([1, 2])
        return Counted.drawn

    total = borders(1)[-1]
    for world in (2, 3):
        assert list(itertools.accumulate(in_processes(world, tmp_path, drawn))) == borders(world)
        assert borders(world)[-1] == total


def test_secure_noise_is_on_the_grid_of_all_weights(tmp_path: Path) -> None:
    """The owner's noise comes after the sums of all processes, at the grid step that the number of all weights asks."""
    drawn = list(range(11))

    def released() -> tuple[dict[str, torch.Tensor], float]:
        run = Run("sgd", noise=1.0, clipping=Adaptive(0.5), source=lambda n: SecureNoise(n, 1.0), dtype=torch.float64)
        assert isinstance(run.optimizer, StateShardedOptimizer)
        run.sum_up(drawn)
        run.optimizer.pre_step()
        gradients = {name: cast(torch.Tensor, piece.grad) for name, piece in run.optimizer._pieces.items()}
        return run.optimizer.whole(gradients), run.engine.rule.max_grad_norm

    clean = Run("sgd", sharded=False, clipping=Adaptive(0.5), dtype=torch.float64)
    clean.sum_up(drawn)
    found = in_processes(2, tmp_path, released)
    assert found[0][1] == found[1][1] != 0.5
    size = Adaptive(0.5).gradient_noise(1.0) * 0.5
    step = size / (1 - math.sqrt(borders(1)[-1]) / 2**SIGMA_BITS) / 2**SIGMA_BITS
    noise = []
    for name, summed in clean.engine.summed_grads().items():
        places = found[0][0][name] * 8 / step
        assert float((places - places.round()).abs().max()) < 1e-5
        noise.append(((found[0][0][name] * 8 - summed) / size).flatten())
    assert stats.kstest(torch.cat(noise).numpy(), "norm").pvalue > 1e-9  # not seeded


def test_banded_noise_takes_back_what_its_own_shard_had(tmp_path: Path) -> None:
    """Steps next to each other are correlated as the coefficients say, in both shards."""
    steps, bands = 600, 2
    found = in_processes(
        2,
        tmp_path,
        lambda: Run(
            "sgd", noise=3.0, source=lambda _: BandedNoise(bands, GeneratorNoise(fresh_torch_generator()))
        ).released(steps),
    )
    noise = found[0].double().numpy() / (3.0 * 0.5 / 8)
    half = borders(2)[0]
    # x_t = z_t - x_{t-1} / 2 with deviation of z sqrt(5/4): variance 5/3, correlation -1/2
    for shard in (noise[50:, :half], noise[50:, half:]):
        assert (shard**2).mean() == pytest.approx(5 / 3, rel=0.05)
        assert np.corrcoef(shard[1:].ravel(), shard[:-1].ravel())[0, 1] == pytest.approx(-0.5, abs=0.03)


def test_a_process_that_owns_nothing_takes_every_step(tmp_path: Path) -> None:
    """Two weights and three processes."""

    def weights() -> torch.Tensor:
        ranks, model = Ranks.current(), torch.nn.Linear(2, 1, bias=False)
        model.weight.data.fill_(0.5)
        inputs = torch.randn(12, 2, generator=torch.Generator().manual_seed(0))
        optimizer = StateShardedOptimizer(
            torch.optim.AdamW(model.parameters(), lr=0.1),
            ranks=ranks,
            engine=(engine := BookKeepingEngine(model, max_grad_norm=0.5)),
            noise_multiplier=0.0,
            expected_batch_size=8,
            generator=fresh_torch_generator(),
        )
        assert len(optimizer.own()) == (0 if ranks.rank == 2 else 1) or ranks.world == 1
        for _ in range(3):
            optimizer.zero_grad(set_to_none=True)
            mine = inputs[ranks.rank :: ranks.world]
            with engine.recording(len(mine)):
                losses = model(mine).square().sum(dim=1)
            engine.backward(losses)
            optimizer.step()
        optimizer.load_whole_state(ranks.agree(optimizer.whole_state()))
        return model.weight.detach().clone()

    alone = weights()
    assert not torch.equal(alone, torch.full((1, 2), 0.5))
    for found in in_processes(3, tmp_path, weights):
        torch.testing.assert_close(found, alone)


@pytest.mark.parametrize("kind", OPTIMIZERS)
@pytest.mark.parametrize("world", [2, 3])
def test_a_state_is_that_of_one_process_and_goes_on_in_any_number(tmp_path: Path, kind: str, world: int) -> None:
    def saved() -> tuple[dict[str, Any], torch.Tensor]:
        run = Run(kind)
        run.train(range(5))
        return run.optimizer.whole_state(), run.weights()

    def goes_on() -> torch.Tensor:
        run = Run(kind)
        sizes = [value.numel() for value in run.model.parameters()]
        with torch.no_grad():
            for value, saved in zip(run.model.parameters(), weights.split(sizes), strict=True):
                value.copy_(saved.view_as(value))
        run.optimizer.load_whole_state(state)
        run.train(range(5, 9))
        return run.weights()

    state, weights = in_processes(2, tmp_path, saved)[0]
    alone = Run(kind, sharded=False)
    alone.train(range(5))
    expected = alone.optimizer.original_optimizer.state_dict()
    assert state["state"].keys() == expected["state"].keys()
    assert [group["params"] for group in state["param_groups"]] == [
        group["params"] for group in expected["param_groups"]
    ]
    for place, kept in expected["state"].items():
        for key, value in kept.items():
            torch.testing.assert_close(state["state"][place][key], value, rtol=1e-4, atol=1e-6)
    alone.train(range(5, 9))
    for found in in_processes(world, make_folder(tmp_path / "again"), goes_on):
        torch.testing.assert_close(found, alone.weights(), rtol=1e-5, atol=2e-6)


def test_what_cannot_be_stepped_in_pieces_is_refused() -> None:
    OPTIMIZERS["adafactor"] = lambda groups: torch.optim.Adafactor(groups)
    try:
        with pytest.raises(AuditError, match="Adafactor cannot be sharded"):
            Run("adafactor")
    finally:
        del OPTIMIZERS["adafactor"]


def test_sums_are_not_used_twice() -> None:
    run = Run()
    run.step([1, 2])
    with pytest.raises(ClippingError, match=r"call optimizer\.zero_grad"):
        run.optimizer.step()


def test_weights_that_were_moved_are_noticed() -> None:
    """The optimizer would step memory that the model no longer reads."""
    run = Run()
    run.sum_up([1, 2])
    bias = run.engine.trained["0.bias"]
    bias.data = bias.data.clone()
    with pytest.raises(ClippingError, match=r"0\.bias was moved"):
        run.optimizer.step()


# bytes


def held(run: Run) -> int:
    """Bytes of sums, gradients, noise and optimizer state, as they are when the wrapped optimizer steps."""
    optimizer = run.optimizer.original_optimizer
    values = [value for group in optimizer.param_groups for value in group["params"]]
    found = [value.grad for value in values]
    found += [getattr(value, "summed_grad", None) for value in run.model.parameters()]
    for state in optimizer.state.values():
        found += [value for value in state.values() if value.ndim]
    found += [each for before in run.optimizer._noise._before.values() for each in before]  # type: ignore[attr-defined]
    storages = {
        value.untyped_storage().data_ptr(): value.untyped_storage().nbytes() for value in found if value is not None
    }
    return sum(storages.values())


@pytest.mark.parametrize("bands", [2, 4])
def test_a_process_of_two_keeps_half_the_bytes(tmp_path: Path, bands: int) -> None:
    """AdamW: its state is two numbers for each weight, a gradient one, each band but the last one."""

    def bytes_held(sharded: bool) -> Mapping[str, int]:
        run = Run(sharded=sharded, noise=1.0, source=lambda _: BandedNoise(bands, GeneratorNoise(None)), width=512)
        for step in range(bands):
            run.step([step])
        return {"held": held(run), "weights": sum(value.numel() for value in run.model.parameters())}

    alone = bytes_held(False)
    assert alone["held"] == 4 * alone["weights"] * (2 + 1 + bands - 1)
    for each in in_processes(2, tmp_path, lambda: bytes_held(True)):
        assert each["held"] == pytest.approx(alone["held"] / 2, rel=1e-3)
    whole = in_processes(2, make_folder(tmp_path / "whole"), lambda: bytes_held(False))
    assert whole[0]["held"] == alone["held"], "without sharding each keeps everything"


class Peak(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch has no type for it
    """Counts the bytes of the tensors that are made while it is entered."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.most = 0
        self._seen: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for value in tree_leaves(made):
            if isinstance(value, torch.Tensor) and value.untyped_storage() not in self._seen:
                self._keep(value.untyped_storage())
        return made

    def _keep(self, storage: torch.UntypedStorage) -> None:
        self._seen.add(storage)
        self.now += storage.nbytes()
        self.most = max(self.most, self.now)
        weakref.finalize(storage, self._let_go, storage.nbytes())

    def _let_go(self, size: int) -> None:
        self.now -= size


def peak_of_a_step(*, sharded: bool) -> float:
    """Bytes for each weight: optimizer state, and all that a step takes at once."""
    run = Run(sharded=sharded, noise=1.0, width=4096)
    run.step([0])
    run.sum_up([1, 2])
    state = [value for kept in run.optimizer.original_optimizer.state.values() for value in kept.values() if value.ndim]
    run.optimizer.totals = torch.zeros(1).double()
    values = list(run.model.parameters())
    sums = [value.summed_grad for value in values]  # type: ignore[attr-defined]
    with Peak() as peak:
        peak.now = 4 * sum(value.numel() for value in [*state, *sums])
        for each in sums:
            peak._seen.add(each.untyped_storage())
            weakref.finalize(each.untyped_storage(), peak._let_go, 4 * each.numel())
        del sums, each
        run.optimizer.step()
    return float(peak.most / sum(value.numel() for value in values))


def test_the_most_that_a_step_takes_shrinks_with_the_processes(tmp_path: Path) -> None:
    """Each still adds up its own records' gradients whole: 4 bytes a weight that no number of processes takes away."""
    whole = max(in_processes(2, make_folder(tmp_path / "whole"), lambda: peak_of_a_step(sharded=False)))
    halves, quarters = (max(in_processes(world, tmp_path, lambda: peak_of_a_step(sharded=True))) for world in (2, 4))
    assert halves < 0.7 * whole
    assert quarters < 0.45 * whole
