"""Opacus' PrivacyEngine, accountants and Poisson loader around book-keeping."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from opacus.accountants import RDPAccountant
from opacus.data_loader import DPDataLoader
from opacus.utils.batch_memory_manager import BatchMemoryManager
from torch import Tensor
from torch.utils.data import DataLoader, WeightedRandomSampler

from privacy.clipping import BookKeepingEngine, ClippingError, OneSampleEngine, per_sample_loss
from privacy.clipping.optimizer import ClippedSumOptimizer
from privacy.clipping.privacy_engine import BookKeepingPrivacyEngine
from tests.privacy.clipping_cases import add_lora, make_model, trained

pytestmark = pytest.mark.filterwarnings("ignore:Secure RNG turned off", "ignore:Optimal order is")

_POSITIONS = 5


def _records(count: int) -> list[dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(6, 100, (count, _POSITIONS), generator=generator)
    return [{"input_ids": row, "labels": row[0] % 2} for row in ids]


def _loader(count: int, batch_size: int, **settings: Any) -> DataLoader[Any]:
    records: Any = _records(count)  # a list is all the dataset it needs
    return DataLoader(records, batch_size=batch_size, generator=torch.Generator().manual_seed(1), **settings)


def _private(
    loader: DataLoader[Any], *, accountant: str = "rdp", noise: float = 1.3, model: Any = None, **settings: Any
) -> tuple[BookKeepingPrivacyEngine, Any, ClippedSumOptimizer, DPDataLoader]:
    engine = BookKeepingPrivacyEngine(accountant=accountant)
    model = make_model("bert", "classifier") if model is None else model
    sgd = torch.optim.SGD(list(trained(model).values()), lr=0.1)
    made = engine.make_private(
        module=model, optimizer=sgd, data_loader=loader, noise_multiplier=noise, max_grad_norm=0.5, **settings
    )
    return engine, *made


def _step(model: Any, optimizer: ClippedSumOptimizer, batch: dict[str, Tensor]) -> int:
    with optimizer.engine.recording(len(batch["labels"])):
        losses = per_sample_loss(model, batch, "classification")
    optimizer.engine.backward(losses)
    optimizer.step()
    optimizer.zero_grad()
    return len(losses)


@pytest.mark.parametrize("accountant", ["rdp", "prv"])
@pytest.mark.parametrize("lora", [False, True])
def test_a_few_steps(accountant: str, lora: bool) -> None:
    model = add_lora(make_model("bert", "classifier"), "bert") if lora else None
    engine, model, optimizer, loader = _private(_loader(24, 6), accountant=accountant, model=model)
    before = {name: value.detach().clone() for name, value in trained(model).items()}
    drawn = [_step(model, optimizer, batch) for _ in range(2) for batch in loader]
    assert len(drawn) == 8
    assert len(set(drawn)) > 1  # Poisson: batches differ in size
    assert engine.accountant.history == [(1.3, 0.25, 8)]
    assert engine.get_epsilon(1e-5) > 0
    assert all(not torch.equal(value, before[name]) for name, value in trained(model).items())
    assert type(optimizer.engine) is BookKeepingEngine


def test_nothing_is_drawn_in_most_batches() -> None:
    """Empty batches, the first one too (Opacus issue 534 and its collate's memory), are steps of noise alone."""
    engine, model, optimizer, loader = _private(_loader(20, 1))
    sizes = []
    for batch in [loader.collate_fn([]), *loader]:
        assert {name: value.shape[1:] for name, value in batch.items()} == {"input_ids": (_POSITIONS,), "labels": ()}
        before = {name: value.detach().clone() for name, value in trained(model).items()}
        sizes.append(_step(model, optimizer, batch))
        assert all(not torch.equal(value, before[name]) for name, value in trained(model).items())
    assert sizes[0] == 0
    assert 0 in sizes[1:]
    assert sum(sizes) > 0
    assert engine.accountant.history == [(1.3, 1 / 20, 21)]


def test_opacus_alone_fails_on_an_empty_first_batch() -> None:
    """What the test above guards against, in the installed Opacus."""
    with pytest.raises(TypeError, match="dtype"):
        DPDataLoader.from_data_loader(_loader(20, 1)).collate_fn([])


def test_steps_and_rate_are_those_of_the_loader() -> None:
    """Opacus makes 92 batches at rate 1/93 out of 93, and accounts for rate 1/92."""
    assert len(DPDataLoader.from_data_loader(_loader(93, 1))) == 92
    engine, model, optimizer, loader = _private(_loader(93, 1))
    assert len(loader) == 93
    assert loader.sample_rate == 1 / 93
    _step(model, optimizer, next(iter(loader)))
    assert engine.accountant.history == [(1.3, 1 / 93, 1)]


def test_sums_are_divided_by_the_batch_size_asked_for() -> None:
    """Not by int(records * rate), which tells how many records there are (Opacus issue 819)."""
    for records in (24, 25, 29):
        assert _private(_loader(records, 6))[2].expected_batch_size == 6


def test_micro_batches_of_opacus_memory_manager() -> None:
    engine, model, optimizer, loader = _private(_loader(24, 8))
    with BatchMemoryManager(data_loader=loader, max_physical_batch_size=2, optimizer=optimizer) as parts:
        sizes = [_step(model, optimizer, batch) for batch in parts]
    assert max(sizes) == 2
    assert len(sizes) > 3
    assert engine.accountant.history == [(1.3, 1 / 3, 3)]


def test_target_epsilon() -> None:
    loader = _loader(93, 1)
    engine = BookKeepingPrivacyEngine(accountant="rdp")
    model = make_model("bert", "classifier")
    sgd = torch.optim.SGD(list(trained(model).values()), lr=0.1)
    given = {"module": model, "optimizer": sgd, "data_loader": loader, "max_grad_norm": 0.5}
    _, optimizer, _ = engine.make_private_with_epsilon(target_epsilon=2.0, target_delta=1e-4, epochs=2, **given)
    spent = RDPAccountant()
    spent.history = [(optimizer.noise_multiplier, 1 / 93, 2 * 93)]
    assert 1.98 <= spent.get_epsilon(1e-4) <= 2.0
    engine.accountant.step(noise_multiplier=1.0, sample_rate=0.5)
    with pytest.raises(ClippingError, match="has steps in it already"):
        engine.make_private_with_epsilon(target_epsilon=2.0, target_delta=1e-4, epochs=2, **given)


def test_noise_and_engine_can_be_chosen() -> None:
    generator = torch.Generator().manual_seed(5)
    _, model, optimizer, _ = _private(
        _loader(24, 6), engine="one-sample", clipping="per-layer", noise_generator=generator, poisson_sampling=True
    )
    assert type(optimizer.engine) is OneSampleEngine
    with optimizer.engine.recording(0):
        losses = torch.zeros(0)
    optimizer.engine.backward(losses)
    optimizer.step()
    first = next(model.parameters())
    expected = torch.normal(0, 1.3 * 0.5, first.shape, generator=generator.manual_seed(5), dtype=first.dtype) / 6
    torch.testing.assert_close(first.grad, expected)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"poisson_sampling": False}, "poisson_sampling=False is not supported"),
        ({"grad_sample_mode": "ghost"}, "grad_sample_mode has no meaning here"),
        ({"loss_reduction": "sum"}, "loss_reduction='sum' is not supported"),
        ({"nonsense": 1}, "nonsense=1 is not supported"),
    ],
)
def test_arguments_that_ask_for_something_else(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ClippingError, match=says):
        _private(_loader(8, 2), **settings)


def test_loaders_that_would_not_be_poisson() -> None:
    weights = WeightedRandomSampler([1.0] * 8, 8)
    with pytest.raises(ClippingError, match=r"draws records with a WeightedRandomSampler.*Poisson"):
        _private(_loader(8, 2, sampler=weights))
    with pytest.raises(ClippingError, match="drop_last"):
        _private(_loader(8, 2, drop_last=True))
    with pytest.raises(ClippingError, match="draws records with a UniformWithReplacementSampler"):
        _private(_private(_loader(8, 2))[3])
