"""Single layers, the factors of their gradients, and what is found out about layers while a model runs."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from privacy.clipping import BookKeepingEngine, ClippingError, per_sample_loss
from privacy.clipping.factors import Factors, GramCache, add_weighted, inner, instantiate
from privacy.clipping.parameter import instantiation_is_smaller
from tests.privacy.clipping_cases import add_lora, clear, make_batch, make_model, run, trained


def _draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _square(output: Tensor) -> Tensor:
    return output.square().sum()


def _parity(model: nn.Module, inputs: Tensor, loss: Callable[[Tensor], Tensor] = _square) -> None:
    """Sums and norms of a model whose samples' loss is a function of their output, against one-sample autograd."""
    model = model.double()
    engine = BookKeepingEngine(model, max_grad_norm=1.0)
    values = list(trained(model).values())
    alone = [
        torch.autograd.grad(loss(model(inputs[i : i + 1])), values, materialize_grads=True) for i in range(len(inputs))
    ]
    norms = torch.stack([torch.cat([grad.flatten() for grad in grads]).norm() for grads in alone])
    for _ in range(2):
        clear(model)
        with engine.recording(len(inputs)):
            outputs = model(inputs)
            recorded = torch.stack([loss(one) for one in outputs])
        stats = engine.backward(recorded)
        torch.testing.assert_close(stats.norms, norms)
        for place, found in enumerate(engine.summed_grads().values()):
            expected = sum(grads[place] / max(1.0, float(norm)) for grads, norm in zip(alone, norms, strict=True))
            torch.testing.assert_close(found, expected)


class _Scale(nn.Module):
    """Multiplies by a raw parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(6))

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs * self.scale


class _OwnRMSNorm(nn.Module):
    """A norm class that nobody has heard of, with an offset weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((6,), 0.3))
        self.bias = nn.Parameter(torch.full((6,), 0.1))

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs * inputs.square().mean(-1, keepdim=True).rsqrt() * (1 + self.weight) + self.bias


class _SquaredRMSNorm(_OwnRMSNorm):
    """Not affine in its weight."""

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs * self.weight**2 + self.bias


@pytest.mark.parametrize("shape", [(3, 6), (3, 4, 6), (3, 2, 4, 6), (3, 2, 2, 4, 6)])
@pytest.mark.parametrize("bias", [True, False])
def test_linear_takes_inputs_of_any_rank(shape: tuple[int, ...], bias: bool) -> None:
    _parity(nn.Sequential(nn.Linear(6, 5, bias=bias), nn.Tanh(), nn.Linear(5, 40, bias=bias)), _draw(*shape))


@pytest.mark.parametrize("norm", [nn.LayerNorm(6), nn.LayerNorm(6, bias=False), nn.RMSNorm(6), _OwnRMSNorm()])
def test_norms(norm: nn.Module) -> None:
    _parity(nn.Sequential(nn.Linear(6, 6), norm, nn.Tanh()), _draw(3, 4, 6))


class _Head(nn.Module):
    """A vocabulary head with a bias of its own, beside or instead of its decoder's."""

    def __init__(self, use: str) -> None:
        super().__init__()
        self.dense = nn.Linear(6, 6)
        self.decoder = nn.Linear(6, 9, bias=use == "left over")
        self.bias = nn.Parameter(torch.linspace(-1, 1, 9))
        self.use = use

    def forward(self, inputs: Tensor) -> Tensor:
        output: Tensor = self.decoder(self.dense(inputs))
        if self.use.startswith("decoded twice"):
            output = output + self.decoder(inputs)
        if self.use in {"added", "decoded twice, added once"}:
            return output + self.bias
        return {"left over": output, "multiplied": output * self.bias}.get(self.use, output + 2 * self.bias)


@pytest.mark.parametrize(
    ("use", "frozen"),
    [
        ("added", []),
        ("added", ["dense"]),
        ("added", ["dense", "decoder"]),
        ("left over", []),
        ("left over", ["dense"]),
        ("decoded twice, added twice", []),
    ],
)
def test_a_bias_registered_on_the_head(use: str, frozen: list[str]) -> None:
    head = _Head(use)
    for name in frozen:
        head.get_submodule(name).requires_grad_(False)
    _parity(head, _draw(3, 4, 6))
    assert head.bias is dict(head.named_parameters())["bias"]


@pytest.mark.parametrize("use", ["decoded twice, added once", "multiplied"])
def test_a_head_bias_used_otherwise_is_found_out(use: str) -> None:
    with pytest.raises(ClippingError, match=r"gradient of bias does not come"):
        _parity(_Head(use), _draw(3, 4, 6))


@pytest.mark.parametrize("padding_idx", [None, 2])
@pytest.mark.parametrize(("rows", "positions"), [(9, 4), (3, 40)])
def test_embedding(padding_idx: int | None, rows: int, positions: int) -> None:
    ids = torch.randint(0, rows, (3, positions), generator=torch.Generator().manual_seed(0))
    _parity(nn.Sequential(nn.Embedding(rows, 6, padding_idx=padding_idx), nn.Tanh(), nn.Linear(6, 2)), ids)


def test_a_layer_used_many_times() -> None:
    shared = nn.Linear(6, 6)
    _parity(nn.Sequential(shared, nn.Tanh(), shared, nn.Tanh(), shared), _draw(3, 2, 6))
    _parity(nn.Sequential(shared, nn.Tanh(), shared, nn.Tanh(), shared), _draw(3, 9, 6))


def test_wide_head_with_positions_that_have_no_gradient() -> None:
    _parity(nn.Linear(6, 5000), _draw(3, 8, 6), lambda out: out.reshape(-1, 5000)[:3].square().sum())


def test_only_the_bias_is_trained() -> None:
    model = nn.Sequential(nn.Linear(6, 6), nn.LayerNorm(6))
    for name, value in model.named_parameters():
        value.requires_grad_(name.endswith("bias"))
    _parity(model, _draw(3, 4, 6))


def test_inner_products_of_all_pairs_of_factors() -> None:
    ids = torch.randint(0, 7, (2, 5), generator=torch.Generator().manual_seed(0))
    uses = [Factors(ids, _draw(2, 5, 4)), Factors(_draw(2, 3, 7, seed=1), _draw(2, 3, 4, seed=2))]
    formed = [instantiate(one, 7) for one in uses]
    torch.testing.assert_close(formed[0][1], nn.functional.one_hot(ids[1], 7).double().T @ uses[0].right[1])
    for one, grad in zip(uses, formed, strict=True):
        for other, other_grad in zip(uses, formed, strict=True):
            torch.testing.assert_close(inner(one, other).value, (grad * other_grad).sum(dim=(1, 2)))
        weights = _draw(2, seed=3)
        summed = add_weighted(None, one, weights, torch.Size((7, 4)))
        torch.testing.assert_close(summed, torch.einsum("b,bpq->pq", weights, grad))
        torch.testing.assert_close(add_weighted(summed.clone(), one, weights, torch.Size((7, 4))), 2 * summed)


def test_gram_matrices_are_remembered_only_for_the_same_memory() -> None:
    grams, values = GramCache(), _draw(2, 3, 4)
    first = grams(values, values)
    alias = values.detach()
    assert grams(alias, alias) is first
    other = values.clone()
    assert grams(other, other) is not first


@pytest.mark.parametrize(
    ("positions", "rows", "columns", "formed"),
    [(128, 768, 768, False), (1024, 768, 768, True), (128, 8, 768, True), (128, 768, 2, True), (64, 30522, 768, False)],
)
def test_the_smaller_of_factors_and_gradient_is_kept(positions: int, rows: int, columns: int, formed: bool) -> None:
    assert instantiation_is_smaller(positions, rows, columns) == formed


def test_no_parameter_gradients_are_computed_twice() -> None:
    """Products in one step: those of ordinary training, and few more for norms."""
    model = make_model("bert", "masked_lm")
    batch = make_batch(model, "masked_lm")
    engine = BookKeepingEngine(model, max_grad_norm=1.0)
    run(engine, model, batch, "masked_lm")  # the checked one
    clear(model)
    with FlopCounterMode(display=False) as ordinary:
        per_sample_loss(model, batch, "masked_lm").sum().backward()  # type: ignore[no-untyped-call]
    with FlopCounterMode(display=False) as clipped:
        run(engine, model, batch, "masked_lm")
    assert 0.9 * ordinary.get_total_flops() < clipped.get_total_flops() < 1.3 * ordinary.get_total_flops()


@pytest.mark.parametrize("lora", [True, False])
def test_no_graph_below_the_first_trained_layer(lora: bool) -> None:
    model = make_model("bert", "classifier")
    if lora:
        model = add_lora(model, "bert")
    else:
        model.bert.requires_grad_(False)
    needed: list[bool] = []
    model.get_input_embeddings().register_forward_hook(lambda _, __, output: needed.append(output.requires_grad))
    engine = BookKeepingEngine(model, max_grad_norm=1.0)
    with engine.recording(3):
        losses = per_sample_loss(model, make_batch(model, "classifier"), "classification")
    assert needed == [False]
    assert losses.requires_grad


def test_an_input_changed_in_place_is_refused() -> None:
    class InPlace(nn.Sequential):
        def forward(self, inputs: Tensor) -> Tensor:
            middle = self[0](inputs)
            output: Tensor = self[1](middle)
            middle.detach().add_(1)
            return output

    model = InPlace(nn.Linear(6, 6), nn.Linear(6, 6))
    engine = BookKeepingEngine(model, max_grad_norm=1.0)
    with engine.recording(2):
        losses = model(torch.ones(2, 6)).sum(dim=1)
    with pytest.raises((ClippingError, RuntimeError), match=r"in place|inplace"):
        engine.backward(losses)


def test_a_norm_that_is_not_affine_in_its_weight_is_found_out() -> None:
    with pytest.raises(ClippingError, match=r"'?1\.weight.*does not come through its own layer"):
        _parity(nn.Sequential(nn.Linear(6, 6), _SquaredRMSNorm()), _draw(3, 4, 6))


def test_a_weight_read_behind_its_layer_is_found_out() -> None:
    class Behind(nn.Sequential):
        def forward(self, inputs: Tensor) -> Tensor:
            (weight,) = self[1].parameters()
            return nn.functional.linear(self[0](inputs), weight)

    with pytest.raises(ClippingError, match=r"1\.weight does not come through"):
        _parity(Behind(nn.Linear(6, 6), nn.Linear(6, 6, bias=False)), _draw(3, 4, 6))


def test_samples_along_another_axis_are_found_out_even_in_a_square() -> None:
    class TimeFirst(nn.Sequential):
        def forward(self, inputs: Tensor) -> Tensor:
            output: Tensor = self[0](inputs.transpose(0, 1)).transpose(0, 1)
            return output

    with pytest.raises(ClippingError, match="once per sample"):
        _parity(TimeFirst(nn.Linear(6, 6)), _draw(4, 4, 6))


def test_a_raw_parameter_is_named() -> None:
    with pytest.raises(ClippingError, match=r"'1' \(_Scale: scale\) are not known .* one-sample engine"):
        BookKeepingEngine(nn.Sequential(nn.Linear(6, 6), _Scale()), max_grad_norm=1.0)
