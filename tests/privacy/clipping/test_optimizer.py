"""The clipped sums under Opacus' optimizer and accountants."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from opacus.accountants import RDPAccountant
from scipy.stats import chi2

from privacy.clipping import Adaptive, BookKeepingEngine, ClippingError, OneSampleEngine, per_sample_loss
from privacy.clipping.optimizer import ClippedSumOptimizer
from tests.privacy.clipping_cases import (
    EVERY,
    REFUSED,
    add_lora,
    flat_sum,
    make_batch,
    make_model,
    names_with_gradients,
    one_sample_gradients,
    run,
    take,
    trained,
)


def _optimizer(model: Any, engine: Any, *, noise: float, batch: float = 3, seed: int = 0) -> ClippedSumOptimizer:
    sgd = torch.optim.SGD(list(trained(model).values()), lr=1.0)
    generator = torch.Generator().manual_seed(seed)
    return ClippedSumOptimizer(
        sgd, engine=engine, noise_multiplier=noise, expected_batch_size=batch, generator=generator
    )


@pytest.mark.parametrize("lora", [False, True])
@pytest.mark.parametrize(("kind", "head"), EVERY)
def test_every_trained_parameter_moves_and_no_other(kind: str, head: str, lora: bool) -> None:
    model = make_model(kind, head)
    model = add_lora(model, kind) if lora else model
    engine = (OneSampleEngine if kind in REFUSED else BookKeepingEngine)(model, max_grad_norm=0.5)
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    batch = make_batch(model, head)
    moves = names_with_gradients(one_sample_gradients(model, batch, head))
    optimizer = _optimizer(model, engine, noise=0.0)
    run(engine, model, batch, head)
    optimizer.step()
    moved = {name for name, value in model.named_parameters() if not torch.equal(value, before[name])}
    assert moves <= moved <= set(trained(model))
    still = set(trained(model)) - moves
    assert all(name.endswith("bias") or "mask_emb" in name or "seg_embed" in name for name in still), still


def test_a_step_is_the_clipped_sum_over_the_expected_batch() -> None:
    model = make_model("gpt2", "causal_lm")
    batch = make_batch(model, "causal_lm")
    engine = BookKeepingEngine(model, max_grad_norm=0.5)
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    expected = flat_sum(one_sample_gradients(model, batch, "causal_lm"), 0.5)
    optimizer = _optimizer(model, engine, noise=0.0, batch=7)
    for part in (slice(0, 2), slice(2, 3)):  # two physical micro-batches of one logical batch
        optimizer.signal_skip_step(do_skip=part.stop == 2)
        run(engine, model, take(batch, part), "causal_lm")
        optimizer.step()
        optimizer.zero_grad()
    for name, value in model.named_parameters():
        torch.testing.assert_close(before[name] - value, expected[name] / 7)


def test_adapters_learn() -> None:
    model = add_lora(make_model("gpt2", "causal_lm"), "gpt2")
    batch = make_batch(model, "causal_lm")
    engine = BookKeepingEngine(model, max_grad_norm=10.0)
    optimizer = _optimizer(model, engine, noise=0.0)
    losses = []
    for _ in range(6):
        with engine.recording(3):
            loss = per_sample_loss(model, batch, "causal_lm")
        engine.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.mean()))
    assert losses[-1] < losses[0] - 0.05


def test_noise_of_an_empty_batch_has_the_stated_variance() -> None:
    model = make_model("bert", "classifier")
    engine = BookKeepingEngine(model, max_grad_norm=0.5)
    optimizer = _optimizer(model, engine, noise=3.0, batch=4)
    run(engine, model, take(make_batch(model, "classifier"), slice(0, 0)), "classifier")
    optimizer.step()
    grads = torch.cat([value.grad.flatten() for value in model.parameters()])
    square = float((grads / (3.0 * 0.5 / 4)).square().sum())
    assert chi2.ppf(0.0005, len(grads)) < square < chi2.ppf(0.9995, len(grads))


def test_accountants_see_each_logical_step_once() -> None:
    model = make_model("bert", "classifier")
    engine = BookKeepingEngine(model, max_grad_norm=0.5)
    optimizer = _optimizer(model, engine, noise=1.5)
    accountant = RDPAccountant()
    optimizer.attach_step_hook(accountant.get_optimizer_hook_fn(sample_rate=0.01))
    for skip in (True, False, False):
        optimizer.signal_skip_step(do_skip=skip)
        run(engine, model, make_batch(model, "classifier"), "classifier")
        optimizer.step()
        optimizer.zero_grad()
    assert accountant.history == [(1.5, 0.01, 2)]


def test_adaptive_noise_is_accounted_as_stated_and_added_as_more() -> None:
    model = make_model("bert", "classifier")
    rule = Adaptive(0.5, count_noise=2.0)
    engine = BookKeepingEngine(model, max_grad_norm=0.5, clipping=rule)
    optimizer = _optimizer(model, engine, noise=3.0, batch=1)
    accountant = RDPAccountant()
    optimizer.attach_step_hook(accountant.get_optimizer_hook_fn(sample_rate=0.01))
    run(engine, model, take(make_batch(model, "classifier"), slice(0, 0)), "classifier")
    optimizer.step()
    grads = torch.cat([value.grad.flatten() for value in model.parameters()])
    assert float(grads.std()) == pytest.approx(rule.gradient_noise(3.0) * 0.5, rel=0.02)
    assert accountant.history == [(3.0, 0.01, 1)]
    assert engine.max_grad_norm != 0.5


def test_sums_are_not_used_twice() -> None:
    model = make_model("bert", "classifier")
    engine = BookKeepingEngine(model, max_grad_norm=0.5)
    optimizer = _optimizer(model, engine, noise=1.0)
    run(engine, model, make_batch(model, "classifier"), "classifier")
    optimizer.step()
    with pytest.raises(ClippingError, match=r"call optimizer\.zero_grad"):
        run(engine, model, make_batch(model, "classifier"), "classifier")
    with pytest.raises(ClippingError, match=r"call optimizer\.zero_grad"):
        optimizer.step()


def test_the_optimizer_must_hold_what_is_clipped() -> None:
    model = make_model("bert", "classifier")
    engine = BookKeepingEngine(model, max_grad_norm=0.5)
    some = torch.optim.SGD(model.bert.parameters(), lr=1.0)
    with pytest.raises(ClippingError, match=r"it lacks 'classifier\.weight'"):
        ClippedSumOptimizer(some, engine=engine, noise_multiplier=1.0, expected_batch_size=3)
    more = torch.optim.SGD([*model.parameters(), torch.nn.Parameter(torch.ones(1))], lr=1.0)
    with pytest.raises(ClippingError, match="holds others"):
        ClippedSumOptimizer(more, engine=engine, noise_multiplier=1.0, expected_batch_size=3)
