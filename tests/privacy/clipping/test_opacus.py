"""Opacus' modes as engines: exact where they are not refused; what Opacus gets wrong is shown beside the refusal."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
import torch
import transformers
from opacus.grad_sample import GradSampleModule, GradSampleModuleFastGradientClipping
from torch import Tensor, nn

from privacy.clipping import Adaptive, ClippingEngine, ClippingError, EngineName, make_engine
from privacy.clipping.opacus_modes import OpacusGhostEngine, OpacusHooksEngine
from privacy.clipping.optimizer import ClippedSumOptimizer
from tests.privacy.clipping_cases import (
    Batch,
    add_lora,
    clear,
    flat_sum,
    language_head,
    make_batch,
    make_model,
    names_with_gradients,
    norm_of,
    one_sample_gradients,
    relative_error,
    run,
    take,
    trained,
)
from tests.tiny import KINDS

_EXACT = 1e-6
_ON_5 = int(transformers.__version__.split(".")[0]) >= 5
_KINDS: dict[str, type[ClippingEngine]] = {"hooks": OpacusHooksEngine, "ghost": OpacusGhostEngine}

_TIED = "does not support tied parameters"
_REUSED = "Parameter tying is not supported"
_BATCH_FIRST = "samples, not 3"
_IN_FULL = {
    ("ghost", "albert"): _REUSED,
    ("hooks", "deberta-v2"): "overlooks the gradient of 'deberta.encoder.rel_embeddings.weight'",
    ("ghost", "deberta-v2"): _REUSED,
    ("hooks", "xlnet"): "overlooks the gradient of 'transformer.word_embedding.weight'",
    ("ghost", "xlnet"): "overlooks the gradient of 'transformer.word_embedding.weight'",
    ("hooks", "mpnet"): _BATCH_FIRST,
    ("ghost", "mpnet"): _BATCH_FIRST,
    ("hooks", "opt"): "has no attribute 'detach'",
    ("ghost", "opt"): "has no attribute 'detach'",
    **({(mode, "gemma"): "trainable layer with buffers" for mode in _KINDS} if _ON_5 else {}),
}
"""What is refused of classifiers trained in full, by what the sentence says."""
_LORA = {
    ("ghost", "albert"): _REUSED,
    **{(mode, kind): _BATCH_FIRST for mode in _KINDS for kind in ("xlnet", "opt")},
}
_HEAD_BIAS = "fails on this model"
_TIED_HEAD = {
    "bert": _HEAD_BIAS,
    "roberta": _HEAD_BIAS,
    "albert": _HEAD_BIAS,
    "roberta-prelayernorm": _HEAD_BIAS,
    "mpnet": _HEAD_BIAS,
    "deberta-v2": _HEAD_BIAS,
    "xlnet": "overlooks the gradient",
    "opt": "has no attribute 'detach'",
    **({"gemma": "trainable layer with buffers"} if _ON_5 else {}),
}
"""What hooks refuse of tied language models: functorch cannot follow a head whose bias is its decoder's too."""


def _exact_or_refused(mode: str, model: Any, batch: Batch, head: str, refusal: str | None) -> None:
    """The sums of two micro-batches, of which the first is checked."""
    gradients = one_sample_gradients(model, batch, head)
    norms = [float(norm_of(one)) for one in gradients]
    bound = (min(norms) + max(norms)) / 2
    if refusal is not None:
        with pytest.raises(ClippingError, match=f"{re.escape(refusal)}.*use the book-keeping engine"):
            run(_KINDS[mode](model, max_grad_norm=bound), model, batch, head)
        return
    engine = _KINDS[mode](model, max_grad_norm=bound)
    for _ in range(2):
        clear(model)
        stats = run(engine, model, batch, head)
        assert relative_error(engine.summed_grads(), flat_sum(gradients, bound)) <= _EXACT
        assert stats.norms.tolist() == pytest.approx(norms, rel=_EXACT)
        assert all(value.grad is None for value in trained(model).values())
    assert not any(module.training for module in model.modules())


@pytest.mark.parametrize("mode", _KINDS)
@pytest.mark.parametrize("kind", KINDS)
def test_classifier_in_full(mode: str, kind: str) -> None:
    model = make_model(kind, "classifier")
    _exact_or_refused(mode, model, make_batch(model, "classifier"), "classifier", _IN_FULL.get((mode, kind)))


@pytest.mark.parametrize("mode", _KINDS)
@pytest.mark.parametrize("kind", ["bert", "roberta", "gpt2", "llama"])
def test_one_position(mode: str, kind: str) -> None:
    model = make_model(kind, "classifier")
    _exact_or_refused(mode, model, make_batch(model, "classifier", positions=1), "classifier", None)


@pytest.mark.parametrize("mode", _KINDS)
@pytest.mark.parametrize("kind", KINDS)
def test_lora(mode: str, kind: str) -> None:
    head = language_head(kind)
    model = add_lora(make_model(kind, head), kind)
    _exact_or_refused(mode, model, make_batch(model, head), head, _LORA.get((mode, kind)))


@pytest.mark.parametrize("mode", _KINDS)
@pytest.mark.parametrize("kind", ["bert", "gpt2", "roberta"])
def test_frozen_bottom(mode: str, kind: str) -> None:
    model = make_model(kind, "classifier")
    model.base_model.requires_grad_(False)
    for value in list(model.base_model.parameters())[-8:]:
        value.requires_grad_(True)
    _exact_or_refused(mode, model, make_batch(model, "classifier"), "classifier", None)


@pytest.mark.parametrize("kind", KINDS)
def test_tied_head_with_hooks(kind: str) -> None:
    head = language_head(kind)
    model = make_model(kind, head, tie_word_embeddings=True)
    _exact_or_refused("hooks", model, make_batch(model, head), head, _TIED_HEAD.get(kind))


@pytest.mark.parametrize("kind", ["gpt2", "distilbert", "llama"])
def test_untied_head_with_ghost(kind: str) -> None:
    head = language_head(kind)
    model = make_model(kind, head, tie_word_embeddings=False)
    _exact_or_refused("ghost", model, make_batch(model, head), head, None)


@pytest.mark.parametrize("kind", KINDS)
def test_tied_head_with_ghost_is_refused(kind: str) -> None:
    model = make_model(kind, language_head(kind), tie_word_embeddings=True)
    with pytest.raises(ClippingError, match=rf"{_TIED}, and .* is .*; use the book-keeping engine, which does"):
        OpacusGhostEngine(model, max_grad_norm=1.0)


@pytest.mark.parametrize("kind", _KINDS.values())
def test_empty_batches_and_micro_batches(kind: type[ClippingEngine]) -> None:
    model = make_model("bert", "classifier")
    batch = make_batch(model, "classifier")
    engine = kind(model, max_grad_norm=0.5)
    for part in (slice(0, 0), slice(0, 1), slice(0, 0), slice(1, 3)):
        stats = run(engine, model, take(batch, part), "classifier")
        assert len(stats.norms) == part.stop - part.start
    expected = flat_sum(one_sample_gradients(model, batch, "classifier"), 0.5)
    assert relative_error(engine.summed_grads(), expected) <= _EXACT
    clear(model)
    run(engine, model, take(batch, slice(0, 0)), "classifier")
    assert engine.summed_grads().keys() == trained(model).keys()
    assert all(value.count_nonzero() == 0 for value in engine.summed_grads().values())


def test_hooks_per_layer() -> None:
    model = make_model("gpt2", "causal_lm")
    batch = make_batch(model, "causal_lm")
    engine = make_engine("opacus-hooks", model, max_grad_norm=0.5, clipping="per-layer")
    other = make_model("gpt2", "causal_lm")
    reference = make_engine("book-keeping", other, max_grad_norm=0.5, clipping="per-layer")
    run(engine, model, batch, "causal_lm")
    run(reference, other, batch, "causal_lm")
    assert relative_error(engine.summed_grads(), reference.summed_grads()) <= _EXACT


@pytest.mark.parametrize(
    ("kind", "clipping", "says"),
    [
        (OpacusHooksEngine, "automatic", "hooks mode is used with flat or per-layer clipping, not automatic"),
        (OpacusGhostEngine, "per-layer", "ghost mode is used with flat clipping, not per-layer"),
        (OpacusGhostEngine, Adaptive(1.0), "ghost mode is used with flat clipping, not Adaptive"),
    ],
)
def test_other_rules_are_refused(kind: type[ClippingEngine], clipping: Any, says: str) -> None:
    with pytest.raises(ClippingError, match=says + "; use the book-keeping engine"):
        kind(nn.Linear(2, 2), max_grad_norm=1.0, clipping=clipping)


class _Net(nn.Sequential):
    """Any inputs, one loss per sample."""

    def losses(self, inputs: Tensor) -> Tensor:
        output: Tensor = self(inputs)
        return output.flatten(1).square().sum(dim=1)


def _norms_alone(net: _Net, inputs: Tensor) -> list[float]:
    """By one-sample autograd."""
    found = []
    for place in range(len(inputs)):
        grads = torch.autograd.grad(net.losses(inputs[place : place + 1]).sum(), list(net.parameters()))
        found.append(float(torch.cat([grad.flatten() for grad in grads]).norm()))
    return found


def _norms_of(engine: ClippingEngine, net: _Net, inputs: Tensor) -> list[float]:
    with engine.recording(len(inputs)):
        losses = net.losses(inputs)
    found: list[float] = engine.backward(losses).norms.tolist()
    return found


def _draw(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_linear_layers_on_four_dimensions() -> None:
    """Ours are exact. Ghost finds no norm and says nothing: the last one, of other samples, is taken instead."""
    net, inputs = _Net(nn.Linear(6, 5)).double(), _draw(3, 2, 4, 6)
    exact = _norms_alone(net, inputs)
    exact_ones: tuple[EngineName, ...] = ("book-keeping", "opacus-hooks")
    for name in exact_ones:
        engine = make_engine(name, net, max_grad_norm=1.0)
        assert _norms_of(engine, net, inputs) == pytest.approx(exact, rel=_EXACT)
        engine.close()
        clear(net)
    with pytest.raises(ClippingError, match=r"ghost mode overlooks the gradient of '0\.weight'"):
        _norms_of(OpacusGhostEngine(net, max_grad_norm=1.0), net, inputs)

    net = _Net(nn.Linear(6, 5)).double().train()
    exact = _norms_alone(net, inputs)
    ghost = GradSampleModuleFastGradientClipping(net, use_ghost_clipping=True, loss_reduction="sum")
    net.losses(100 * inputs[:, 0]).sum().backward()  # type: ignore[no-untyped-call]  # three dimensions: norms are found
    before = ghost.get_norm_sample().tolist()
    net.losses(inputs).sum().backward()  # type: ignore[no-untyped-call]
    assert ghost.get_norm_sample().tolist() == before
    assert before != pytest.approx(exact, rel=0.5)


def test_position_ids_that_come_once_for_all_samples() -> None:
    """Opacus issue 841: the gradients of such a table are one sample's; the engine hands out ids to each sample."""

    class Positions(_Net):
        def losses(self, inputs: Tensor) -> Tensor:
            output: Tensor = self[1](inputs + self[0](torch.arange(inputs.shape[1]).unsqueeze(0)))
            return output.flatten(1).square().sum(dim=1)

    net, inputs = Positions(nn.Embedding(9, 6), nn.Linear(6, 5)).double().train(), _draw(3, 4, 6)
    exact = _norms_alone(net, inputs)
    for kind in _KINDS.values():
        engine = kind(net, max_grad_norm=1.0)
        assert _norms_of(engine, net, inputs) == pytest.approx(exact, rel=_EXACT)
        engine.close()
        clear(net)
    GradSampleModule(net, loss_reduction="sum")
    net.losses(inputs).sum().backward()  # type: ignore[no-untyped-call]
    table: Any = net[0].weight
    assert len(table.grad_sample) == 1


@pytest.mark.parametrize("lora", [False, True])
@pytest.mark.parametrize("kind", _KINDS.values())
def test_every_trained_parameter_moves(kind: type[ClippingEngine], lora: bool) -> None:
    model = make_model("bert", "classifier")
    model = add_lora(model, "bert") if lora else model
    batch = make_batch(model, "classifier")
    moves = names_with_gradients(one_sample_gradients(model, batch, "classifier"))
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    engine = kind(model, max_grad_norm=0.5)
    optimizer = ClippedSumOptimizer(
        torch.optim.SGD(list(trained(model).values()), lr=1.0),
        engine=engine,
        noise_multiplier=0.0,
        expected_batch_size=3,
    )
    run(engine, model, batch, "classifier")
    optimizer.step()
    assert moves
    assert {name for name, value in model.named_parameters() if not torch.equal(value, before[name])} >= moves
    frozen = before.keys() - trained(model).keys()
    assert all(torch.equal(model.get_parameter(name), before[name]) for name in frozen)


def test_a_sample_whose_activations_are_not_finite() -> None:
    """Ghost's second backward pass mixes all samples' activations; the others can leave one out."""
    inputs = _draw(3, 4, 6)
    inputs[1, 2] = math.nan
    names: tuple[EngineName, ...] = ("book-keeping", "opacus-hooks", "opacus-ghost")
    for name in names:
        torch.manual_seed(0)
        net = _Net(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 2)).double()
        alone = make_engine("one-sample", net, max_grad_norm=1.0)
        for place in (0, 2):
            _norms_of(alone, net, inputs[place : place + 1])
        expected = {key: value.clone() for key, value in alone.summed_grads().items()}
        clear(net)
        engine = make_engine(name, net, max_grad_norm=1.0)
        with engine.recording(3):
            losses = net.losses(inputs)
        if name == "opacus-ghost":
            with pytest.raises(ClippingError, match=r"activations are not finite.*use the book-keeping engine, which"):
                engine.backward(losses)
        else:
            assert engine.backward(losses).non_finite == 1
            assert relative_error(engine.summed_grads(), expected) <= _EXACT


def test_hooks_come_off() -> None:
    net, inputs = _Net(nn.Linear(6, 5)).double(), _draw(3, 4, 6)
    engine = OpacusHooksEngine(net, max_grad_norm=1.0)
    with pytest.raises(ClippingError, match=r"has Opacus' hooks already; call close\(\)"):
        OpacusGhostEngine(net, max_grad_norm=1.0)
    engine.close()
    assert not net[0]._forward_hooks
    assert not net[0]._backward_hooks
    assert _norms_of(OpacusGhostEngine(net, max_grad_norm=1.0), net, inputs)


def test_hooks_do_not_listen_between_micro_batches() -> None:
    net, inputs = _Net(nn.Linear(6, 5)).double().train(), _draw(3, 4, 6)
    engine = OpacusGhostEngine(net, max_grad_norm=1.0)
    exact = _norms_of(engine, net, inputs)
    net.losses(inputs).sum().backward()  # type: ignore[no-untyped-call]
    assert net[0].weight.grad is not None
    clear(net)
    assert _norms_of(engine, net, inputs) == exact
    assert net[0].weight.grad is not None  # left as it was


def test_an_error_of_the_model_is_its_own() -> None:
    net = _Net(nn.Linear(6, 5)).double()
    engine = OpacusHooksEngine(net, max_grad_norm=1.0)
    with pytest.raises(RuntimeError, match="shapes"), engine.recording(2):
        net.losses(_draw(2, 7))
    assert _norms_of(engine, net, _draw(2, 6))


@pytest.mark.parametrize("mode", _KINDS)
def test_gradients_of_the_padding_row_are_refused(mode: str) -> None:
    """Opacus counts them, PyTorch does not: norms are too large where padding is not masked."""
    net = _Net(nn.Embedding(9, 6, padding_idx=0), nn.Linear(6, 5)).double()
    inputs = torch.tensor([[1, 2, 0], [3, 0, 0], [4, 5, 6]])
    with pytest.raises(ClippingError, match=f"{mode} mode gets the norm of '0' wrong; use the book-keeping engine"):
        _norms_of(_KINDS[mode](net, max_grad_norm=1.0), net, inputs)
    assert _norms_of(_KINDS[mode](_Net(*net).double(), max_grad_norm=1.0), net, inputs + 1)
