"""What engines refuse, count and leave alone."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from privacy.clipping import Adaptive, BookKeepingEngine, ClippingEngine, ClippingError, OneSampleEngine, make_engine
from privacy.clipping.cross_entropy import cross_entropy
from privacy.clipping.losses import IGNORED, per_sample_loss, token_losses
from privacy.clipping.opacus_modes import OpacusGhostEngine, OpacusHooksEngine
from privacy.clipping.rules import LEAST_NORM, rule_of
from privacy.noise import GeneratorNoise
from tests.privacy.clipping_cases import (
    clear,
    flat_sum,
    make_batch,
    make_model,
    norm_of,
    one_sample_gradients,
    relative_error,
    run,
    take,
    trained,
)

_ENGINES = [BookKeepingEngine, OneSampleEngine]


@pytest.fixture
def model() -> Any:
    return make_model("gpt2", "causal_lm")


@pytest.fixture
def batch(model: Any) -> dict[str, Tensor]:
    return make_batch(model, "causal_lm")


@pytest.mark.parametrize("kind", _ENGINES)
def test_per_layer_bounds_each_layer(kind: type[ClippingEngine], model: Any, batch: dict[str, Tensor]) -> None:
    engine = kind(model, max_grad_norm=0.5, clipping="per-layer")
    run(engine, model, batch, "causal_lm")
    layers = list(dict.fromkeys(name.rpartition(".")[0] for name in trained(model)))
    gradients = one_sample_gradients(model, batch, "causal_lm")
    for layer in layers:
        mine = [{n: g for n, g in one.items() if n.rpartition(".")[0] == layer} for one in gradients]
        expected = flat_sum(mine, 0.5 / math.sqrt(len(layers)))
        found = {name: engine.summed_grads()[name] for name in expected}
        assert relative_error(found, expected) <= 1e-6


@pytest.mark.parametrize("kind", _ENGINES)
def test_automatic(kind: type[ClippingEngine], model: Any, batch: dict[str, Tensor]) -> None:
    engine = kind(model, max_grad_norm=0.5, clipping="automatic")
    run(engine, model, batch, "causal_lm")
    gradients = one_sample_gradients(model, batch, "causal_lm")
    scaled = [{n: g * 0.5 / (norm_of(one) + 0.01) for n, g in one.items()} for one in gradients]
    expected = {n: torch.stack([one[n] for one in scaled]).sum(dim=0) for n in scaled[0]}
    assert relative_error(engine.summed_grads(), expected) <= 1e-6


@pytest.mark.parametrize("clipping", ["flat", "per-layer", "automatic", "adaptive"])
def test_no_sample_contributes_more_than_the_bound(clipping: Any, model: Any, batch: dict[str, Tensor]) -> None:
    engine = BookKeepingEngine(model, max_grad_norm=0.01, clipping=clipping)
    for place in range(3):
        clear(model)
        assert run(engine, model, take(batch, slice(place, place + 1)), "causal_lm").clipped == 1.0
        assert norm_of(engine.summed_grads()) <= 0.01 * (1 + 1e-9)


def test_adaptive_norm_follows_the_quantile() -> None:
    rule = Adaptive(50.0, quantile=0.3, rate=0.5, count_noise=1.0)
    norms = torch.linspace(0.1, 10, 200, dtype=torch.float64)
    noise = GeneratorNoise(torch.Generator().manual_seed(0))
    for _ in range(150):
        rule.weights(norms.square().unsqueeze(0))
        rule.move(noise.number(rule.take_count(), rule.count_noise), 200)
    assert float((norms <= rule.max_grad_norm).double().mean()) == pytest.approx(0.3, abs=0.05)


def test_an_adaptive_norm_stays_one_that_float32_holds() -> None:
    """Records whose gradient is zero are all within the norm, which then falls with each step."""
    rule = Adaptive(1e-29)
    for _ in range(50):
        rule.move(1.0, 1.0)
    assert rule.max_grad_norm == LEAST_NORM
    rule.move(-1.0, 1.0)
    assert rule.max_grad_norm > LEAST_NORM
    for name in ("flat", "per-layer", "automatic", "adaptive"):
        with pytest.raises(ClippingError, match="max_grad_norm is 1e-31, too small for 32-bit numbers"):
            rule_of(name, 1e-31)


def test_adaptive_gradient_noise_and_count_noise_make_up_the_accounted_noise() -> None:
    rule = Adaptive(1.0, count_noise=10.0)
    assert rule.gradient_noise(2.0) ** -2 + (2 * rule.count_noise) ** -2 == pytest.approx(2.0**-2)
    assert rule.gradient_noise(2.0) > 2.0
    with pytest.raises(ClippingError, match="a noise multiplier below 2, which is 2; raise epsilon"):
        Adaptive(1.0, count_noise=1.0).gradient_noise(2.0)


@pytest.mark.parametrize(("clipping", "norm"), [("nope", 1.0), ("flat", 0.0), ("flat", math.nan), ("flat", math.inf)])
def test_bad_rules(clipping: Any, norm: float) -> None:
    with pytest.raises(ClippingError, match=r"unknown; choose|must be a positive number"):
        rule_of(clipping, norm)


class _Broken(torch.autograd.Function):
    """Scales losses, or only their gradients, by factors that need not be finite."""

    @staticmethod
    def forward(ctx: Any, losses: Tensor, factors: Tensor, where: str) -> Tensor:
        ctx.factors = factors
        return losses * factors if where == "loss" else losses.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return grads[0] * ctx.factors, None, None


def _break(losses: Tensor, factors: Tensor, where: str) -> Tensor:
    broken: Tensor = _Broken.apply(losses, factors, where)  # type: ignore[no-untyped-call]
    return broken


@pytest.mark.parametrize("kind", [*_ENGINES, OpacusHooksEngine, OpacusGhostEngine])
@pytest.mark.parametrize("where", ["loss", "gradient"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("checked", [False, True])
def test_a_sample_that_is_not_finite_contributes_zero(
    kind: type[ClippingEngine], where: str, value: float, checked: bool
) -> None:
    model = make_model("gpt2", "causal_lm", tie_word_embeddings=kind is not OpacusGhostEngine)
    batch = make_batch(model, "causal_lm")
    engine = kind(model, max_grad_norm=0.5)
    if checked:
        run(engine, model, batch, "causal_lm")
        clear(model)
    broken = 0
    size = 1 if kind is OneSampleEngine else 3
    factors = torch.tensor([1.0, value, 1.0], dtype=torch.float64)
    for start in range(0, 3, size):
        part = slice(start, start + size)
        with engine.recording(size):
            losses = per_sample_loss(model, take(batch, part), "causal_lm")
        broken += engine.backward(_break(losses, factors[part], where)).non_finite
    assert broken == 1
    others = {name: torch.cat([part[:1], part[2:]]) for name, part in batch.items()}
    expected = flat_sum(one_sample_gradients(model, others, "causal_lm"), 0.5)
    assert relative_error(engine.summed_grads(), expected) <= 1e-6


def test_a_batch_with_nothing_finite(model: Any, batch: dict[str, Tensor]) -> None:
    engine = BookKeepingEngine(model, max_grad_norm=0.5)
    with engine.recording(3):
        losses = per_sample_loss(model, batch, "causal_lm") * math.nan
    stats = engine.backward(losses)
    assert (stats.non_finite, stats.clipped) == (3, None)
    assert norm_of(engine.summed_grads()) == 0


def test_a_sample_without_targets_contributes_zero(model: Any) -> None:
    batch = make_batch(model, "causal_lm", positions=1)
    engine = BookKeepingEngine(model, max_grad_norm=0.5)
    stats = run(engine, model, batch, "causal_lm")
    assert (stats.norms.tolist(), stats.clipped, stats.non_finite) == ([0.0] * 3, 0.0, 0)
    assert norm_of(engine.summed_grads()) == 0


def test_a_sample_loss_is_the_mean_over_its_own_targets() -> None:
    logits = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    targets = torch.tensor([[1, IGNORED, 2], [IGNORED, IGNORED, 4]])
    chances = logits.log_softmax(dim=-1)
    expected = [-(chances[0, 0, 1] + chances[0, 2, 2]) / 2, -chances[1, 2, 4]]
    torch.testing.assert_close(token_losses(logits, targets), torch.stack(expected))


@pytest.mark.parametrize("kind", [torch.float64, torch.float32, torch.bfloat16])
def test_cross_entropy_is_that_of_torch(kind: torch.dtype) -> None:
    """Over more rows than are worked on at a time, with rows that have no target."""
    generator = torch.Generator().manual_seed(0)
    logits = (5 * torch.randn(70, 40_000, generator=generator)).to(kind).requires_grad_()
    targets = torch.randint(0, 40_000, (70,), generator=generator)
    targets[::3] = IGNORED
    weights = torch.rand(70, generator=generator)
    results = []
    for losses in (
        cross_entropy(logits, targets, IGNORED),
        functional.cross_entropy(
            logits.to(torch.promote_types(kind, torch.float32)), targets, reduction="none", ignore_index=IGNORED
        ),
    ):
        (grad,) = torch.autograd.grad((losses * weights).sum(), logits)
        results.append((losses.detach(), grad))
    (found, grad), (expected, expected_grad) = results
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(grad, expected_grad)
    assert grad[::3].count_nonzero() == 0
    assert cross_entropy(logits[:0], targets[:0], IGNORED).shape == (0,)


def test_an_empty_loss_does_not_run_the_model() -> None:
    model = nn.Linear(2, 2)  # has no logits
    assert per_sample_loss(model, {"labels": torch.zeros(0)}, "classification").shape == (0,)


def test_parameters_can_be_trained_again_when_the_forward_pass_fails(model: Any) -> None:
    engine = BookKeepingEngine(model, max_grad_norm=0.5)
    with pytest.raises(ZeroDivisionError), engine.recording(3):
        raise ZeroDivisionError
    assert all(value.requires_grad for value in model.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize("kind", _ENGINES)
@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)), "'1' is a BatchNorm1d, which mixes.*LayerNorm"),
        (nn.Linear(2, 2).requires_grad_(False), "every parameter of the model is frozen"),
    ],
)
def test_models_that_cannot_be_clipped(kind: type[ClippingEngine], broken: nn.Module, says: str) -> None:
    with pytest.raises(ClippingError, match=says):
        kind(broken, max_grad_norm=1.0)


def test_mixtures_of_experts_are_refused() -> None:
    from transformers import MixtralConfig, MixtralForCausalLM

    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = MixtralForCausalLM(MixtralConfig(vocab_size=11, num_key_value_heads=1, num_local_experts=2, **sizes))
    with pytest.raises(ClippingError, match=r"routes tokens to experts.*freeze it"):
        OneSampleEngine(model, max_grad_norm=1.0)


@pytest.mark.parametrize(
    ("table", "says"),
    [(nn.Embedding(3, 2, max_norm=1.0), "max_norm"), (nn.LSTM(2, 2), r"LSTM: weight_ih_l0.*one-sample")],
)
def test_layers_that_book_keeping_does_not_know(table: nn.Module, says: str) -> None:
    with pytest.raises(ClippingError, match=says):
        BookKeepingEngine(nn.Sequential(table), max_grad_norm=1.0)


def test_engines_by_name(model: Any) -> None:
    assert type(make_engine("book-keeping", model, max_grad_norm=1.0)) is BookKeepingEngine
    assert type(make_engine("one-sample", model, max_grad_norm=1.0)) is OneSampleEngine
    assert type(make_engine("opacus-hooks", model, max_grad_norm=1.0)) is OpacusHooksEngine
    name: Any = "nope"
    with pytest.raises(ClippingError, match=r"'nope' is unknown; choose from book-keeping, one-sample, opacus-hooks"):
        make_engine(name, model, max_grad_norm=1.0)


@pytest.mark.parametrize("kind", _ENGINES)
@pytest.mark.parametrize("frozen", [True, False])
def test_freezing_after_the_engine_was_made_is_refused(kind: type[ClippingEngine], frozen: bool, model: Any) -> None:
    model.transformer.wpe.weight.requires_grad_(frozen)
    engine = kind(model, max_grad_norm=1.0)
    model.transformer.wpe.weight.requires_grad_(not frozen)
    with pytest.raises(ClippingError, match="make the engine and its optimizer anew"), engine.recording(1):
        pass


def test_the_one_sample_engine_takes_one(model: Any) -> None:
    with (
        pytest.raises(ClippingError, match="make micro-batches of 1"),
        OneSampleEngine(model, max_grad_norm=1.0).recording(2),
    ):
        pass


def test_losses_that_are_not_per_sample(model: Any, batch: dict[str, Tensor]) -> None:
    engine = BookKeepingEngine(model, max_grad_norm=0.5)
    with pytest.raises(ClippingError, match=r"inside `with engine\.recording"):
        engine.backward(torch.ones(3))
    with engine.recording(3):
        losses = per_sample_loss(model, batch, "causal_lm")
    with pytest.raises(ClippingError, match="one loss for each of the 3 samples, not their mean"):
        engine.backward(losses.mean())
    with engine.recording(3), torch.no_grad():
        losses = per_sample_loss(model, batch, "causal_lm")
    with pytest.raises(ClippingError, match="do not depend on any trained parameter"):
        engine.backward(losses)
