"""Forward passes in bfloat16: norms and sums stay in float32, and agree with one-sample autograd at that precision."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from privacy.clipping import BookKeepingEngine, ClippingEngine, ClippingStats, OneSampleEngine, per_sample_loss
from privacy.clipping.check import Compared, wrong_gradients
from privacy.clipping.factors import Factors, add_weighted, inner, sum_positions
from privacy.clipping.optimizer import ClippedSumOptimizer
from privacy.clipping.parameter import ParameterGradient
from tests.privacy.clipping_cases import (
    TASKS,
    Batch,
    clear,
    flat_sum,
    language_head,
    make_batch,
    make_model,
    norm_of,
    one_sample_gradients,
    run,
    take,
    trained,
)

_LOW = 0.03
"""Relative error allowed where a forward and a backward pass are done in bfloat16, which keeps 8 bits."""


def _autocast() -> torch.autocast:
    return torch.autocast("cpu", dtype=torch.bfloat16)


def _run_autocast(engine: ClippingEngine, model: nn.Module, batch: Batch, head: str) -> ClippingStats:
    samples = len(batch["labels"])
    with engine.recording(samples), _autocast():
        losses = per_sample_loss(model, batch, TASKS[head])
    return engine.backward(losses)


def _difference(found: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    gap = norm_of({name: found[name].double() - expected[name].double() for name in expected})
    return float(gap / norm_of(expected))


_CASES = [("bert", "classifier"), ("bert", "masked_lm"), ("gpt2", "causal_lm")]


@pytest.mark.parametrize(("kind", "head"), _CASES)
def test_autocast_agrees_with_one_sample_autograd(kind: str, head: str) -> None:
    model = make_model(kind, head).float()
    batch = make_batch(model, head, positions=12)
    with _autocast():
        gradients = one_sample_gradients(model, batch, head)
    bound = float(norm_of(gradients[0]))
    engine = BookKeepingEngine(model, max_grad_norm=bound)
    for _ in range(2):
        clear(model)
        stats = _run_autocast(engine, model, batch, head)
        sums = engine.summed_grads()
        assert {value.dtype for value in sums.values()} == {torch.float32}
        assert stats.norms.dtype == torch.float32
        assert stats.norms.tolist() == pytest.approx([float(norm_of(one)) for one in gradients], rel=_LOW)
        assert _difference(sums, flat_sum(gradients, bound)) <= _LOW


def test_autocast_is_really_on() -> None:
    """The test above would pass in float32 too: here a vocabulary head's gradients must have come in bfloat16."""
    model = make_model("gpt2", "causal_lm").float()
    engine = BookKeepingEngine(model, max_grad_norm=1.0)
    _run_autocast(engine, model, make_batch(model, "causal_lm"), "causal_lm")
    assert engine._recorder.low_precision
    run(engine, model, make_batch(model, "causal_lm"), "causal_lm")
    assert not engine._recorder.low_precision


def test_backward_inside_autocast_is_the_same() -> None:
    model = make_model("bert", "masked_lm").float()
    batch = make_batch(model, "masked_lm")
    sums = []
    for inside in (False, True):
        clear(model)
        engine = BookKeepingEngine(model, max_grad_norm=0.5)
        with _autocast():
            with engine.recording(3):
                losses = per_sample_loss(model, batch, "masked_lm")
            if inside:
                engine.backward(losses)
        if not inside:
            engine.backward(losses)
        sums.append(engine.summed_grads())
    for name, value in sums[0].items():
        torch.testing.assert_close(sums[1][name], value, rtol=0, atol=0)


def test_one_sample_engine_under_autocast() -> None:
    model = make_model("gpt2", "causal_lm").float()
    batch = take(make_batch(model, "causal_lm"), slice(0, 1))
    engine = OneSampleEngine(model, max_grad_norm=0.5)
    _run_autocast(engine, model, batch, "causal_lm")
    with _autocast():
        expected = flat_sum(one_sample_gradients(model, batch, "causal_lm"), 0.5)
    assert {value.dtype for value in engine.summed_grads().values()} == {torch.float32}
    assert _difference(engine.summed_grads(), expected) <= _LOW


@pytest.mark.parametrize("kind", ["bert", "gpt2", "llama", "albert", "roberta", "distilbert"])
def test_low_precision_weights_give_wide_sums(kind: str) -> None:
    head = language_head(kind)
    model = make_model(kind, head)
    batch = make_batch(model, head, positions=12)
    expected = flat_sum(one_sample_gradients(model, batch, head), 0.5)
    low = copy.deepcopy(model).bfloat16()
    engine = BookKeepingEngine(low, max_grad_norm=0.5)
    for _ in range(2):
        clear(low)
        run(engine, low, batch, head)
    sums = engine.summed_grads()
    assert {value.dtype for value in sums.values()} == {torch.float32}
    assert _difference(sums, expected) <= 0.1


def test_noise_is_drawn_in_float32() -> None:
    model = nn.Linear(4, 4).bfloat16()
    engine = BookKeepingEngine(model, max_grad_norm=1.0)
    optimizer = ClippedSumOptimizer(
        torch.optim.SGD(model.parameters(), lr=1.0), engine=engine, noise_multiplier=1.0, expected_batch_size=1
    )
    with engine.recording(0):
        losses = torch.zeros(0)
    engine.backward(losses)
    optimizer.add_noise()
    sums = trained(model)["weight"].summed_grad  # type: ignore[attr-defined]
    assert sums.dtype == torch.float32
    assert not torch.equal(sums, sums.bfloat16().float())


@pytest.mark.parametrize("rows", [7, 10_000])
def test_products_of_low_precision_factors_are_wide(rows: int) -> None:
    """A vocabulary's worth of rows is widened part by part."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int, kind: torch.dtype) -> Tensor:
        return torch.randn(*shape, generator=generator).to(kind)

    factors = Factors(draw(2, 3, rows, kind=torch.bfloat16), draw(2, 3, 5, kind=torch.float32))
    exact = Factors(factors.left.double(), factors.right.double())
    other = Factors(draw(2, 4, rows, kind=torch.float32), draw(2, 4, 5, kind=torch.bfloat16))
    torch.testing.assert_close(inner(factors, factors).value.double(), inner(exact, exact).value, rtol=1e-5, atol=0)
    torch.testing.assert_close(
        inner(factors, other).value.double(),
        inner(exact, Factors(other.left.double(), other.right.double())).value,
        rtol=1e-4,
        atol=1e-3,
    )
    weights = torch.tensor([0.5, 2.0])
    shape = torch.Size((rows, 5))
    summed = add_weighted(None, factors, weights, shape)
    assert summed.dtype == torch.float32
    torch.testing.assert_close(
        add_weighted(summed.clone(), factors, weights, shape).double(),
        2 * add_weighted(None, exact, weights.double(), shape),
        rtol=1e-4,
        atol=1e-5,
    )


def test_sums_over_positions_do_not_round_as_bfloat16_would() -> None:
    ones = torch.ones(1, 1000, 1, dtype=torch.bfloat16)
    assert sum_positions(ones).item() == 1000.0
    assert sum_positions(ones.double()).dtype == torch.float64


def test_a_norm_that_rounds_below_zero_is_zero() -> None:
    gradient = ParameterGradient(nn.Parameter(torch.zeros(300, 300)))
    gradient.positions = 1
    gradient._squares = torch.tensor([-1e-9, 4.0])
    found = gradient.squared_norms()
    assert found is not None
    assert found.tolist() == [0.0, 4.0]


def test_rounding_noise_of_a_zero_gradient_is_tolerated_only_in_low_precision() -> None:
    compared: dict[str, Any] = {
        "query.weight": Compared(norm=1.0, error=0.01),
        "key.bias": Compared(norm=4e-4, error=4e-4),
        "wrong": Compared(norm=0.05, error=0.05),
    }
    assert wrong_gradients(compared, low_precision=True) == ["wrong"]
    assert wrong_gradients(compared, low_precision=False) == ["query.weight", "key.bias", "wrong"]
