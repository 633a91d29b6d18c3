"""Positions whose gradients cancel: what is left of them is clipped by its true norm, whatever float32 rounds away."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from privacy.clipping import BookKeepingEngine, Clipping, ClippingEngine, OneSampleEngine
from privacy.clipping.factors import Factors, GramCache, inner, instantiate, squares_of_one_position
from privacy.clipping.parameter import ParameterGradient
from privacy.clipping.precision import is_lost, squared_norms

_MOST = 1 + 1e-4
"""A sample's share of the sum over the clipping norm, at most."""


def _factors(seed: int, positions: int, scale: float, left_over: float, kind: torch.dtype = torch.float32) -> Factors:
    """One sample whose second half of positions undoes the first but for the share `left_over` of it."""
    generator = torch.Generator().manual_seed(seed)
    half = positions // 2
    left, right = (torch.randn(half, 600, generator=generator) for _ in range(2))
    more = torch.randn(half, 600, generator=generator) * left_over
    pairs = (torch.cat([left, -left]) * scale, torch.cat([right, right + more]))
    return Factors(*(each.unsqueeze(0).to(kind) for each in pairs))


def _weigh(factors: Factors, bound: float, shape: torch.Size) -> tuple[Tensor, Tensor]:
    """(norm, contribution) of one sample as the engine gets them."""
    gradient = ParameterGradient(nn.Parameter(torch.empty(shape, device="meta")))
    gradient.positions = factors.right.shape[1]
    gradient._add_factors(factors, GramCache())
    squares = gradient.squared_norms()
    assert squares is not None
    weights = (bound / squares.sqrt()).clamp(max=1)
    summed = gradient.add_weighted(None, weights)
    assert summed is not None
    return squares.sqrt()[0], summed


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    positions=st.sampled_from([2, 4, 16, 64, 256]),
    size=st.sampled_from([1e-3, 1.0, 1e5, 1e10]),
    left_over=st.floats(-9, 0.5).map(lambda power: 10**power) | st.just(0.0),
    kind=st.sampled_from([torch.float32, torch.bfloat16]),
)
def test_no_contribution_is_larger_than_the_bound(
    seed: int, positions: int, size: float, left_over: float, kind: torch.dtype
) -> None:
    factors = _factors(seed, positions, size / 600, left_over, kind)
    norm, summed = _weigh(factors, 0.5, torch.Size((600, 600)))
    assert float(summed.double().norm()) <= 0.5 * _MOST
    exact = instantiate(Factors(factors.left.double(), factors.right.double()), 600)[0].norm()
    reach = float(factors.left.double().norm(dim=2).mul(factors.right.double().norm(dim=2)).sum())
    assert abs(float(norm) - float(exact)) <= 1e-4 * float(exact) + 1e-5 * reach  # what forming it in float32 rounds


@pytest.mark.parametrize("positions", [2, 512])
def test_a_norm_that_gram_matrices_lose_is_found(positions: int) -> None:
    """Before, two positions with opposite gradients of norm 1e5 gave norm 0, and were not clipped at all."""
    factors = _factors(1, positions, 1e5 / 600, 1e-4)
    exact = instantiate(Factors(factors.left.double(), factors.right.double()), 600).norm()
    product = inner(factors, factors)
    assert is_lost(product.value, product.mass, positions).all()
    norm, summed = _weigh(factors, 0.1, torch.Size((600, 600)))
    assert float(norm) == pytest.approx(float(exact), rel=1e-2)
    assert float(summed.norm()) == pytest.approx(0.1, rel=1e-4)


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("ids", [False, True])
def test_one_position_has_the_norm_of_its_outer_product(kind: torch.dtype, ids: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    right = torch.randn(5, 1, 300, generator=generator).to(kind)
    left = torch.arange(5)[:, None] if ids else torch.randn(5, 1, 400, generator=generator).to(kind)
    factors = Factors(left, right)
    squares = squares_of_one_position(factors)
    wider = Factors(left if ids else left.double(), right.double())
    torch.testing.assert_close(squares.double(), squared_norms(instantiate(wider, 400)), rtol=1e-6, atol=0)
    torch.testing.assert_close(squares, inner(factors, factors).value, rtol=1e-6, atol=0)
    assert squares.dtype == torch.promote_types(kind, torch.float32)


@pytest.mark.parametrize("equal", [False, True])
@pytest.mark.parametrize("positions", [1, 8, 32])
def test_ordinary_norms_stay_gram_norms(positions: int, equal: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(2, positions, 700, generator=generator) for _ in range(2))
    if equal:  # dot products round worst where all features are equal
        left, right = left[:, :, :1].expand_as(left).contiguous(), right[:, :, :1].abs().expand_as(right).contiguous()
    product = inner(Factors(left, right), Factors(left, right))
    exact = instantiate(Factors(left.double(), right.double()), 700).flatten(1).norm(dim=1).square()
    if not equal:
        assert not is_lost(product.value, product.mass, positions).any()
    kept = ~is_lost(product.value, product.mass, positions)
    assert product.value[kept].tolist() == pytest.approx(exact[kept].tolist(), rel=1.5e-4)


def test_mass_bounds_the_error_of_every_inner_product() -> None:
    """Against its definition, position by position, for all pairs of ids and features."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, 9, (2, 5), generator=generator)
    uses = [
        Factors(ids, torch.randn(2, 5, 4, generator=generator, dtype=torch.float64)),
        Factors(*(torch.randn(2, 3, n, generator=generator, dtype=torch.float64) for n in (9, 4))),
    ]

    def rows(one: Factors) -> Tensor:
        return one.left if one.left.is_floating_point() else nn.functional.one_hot(one.left, 9).double()

    for one in uses:
        for other in uses:
            left, right = rows(one) @ rows(other).mT, one.right @ other.right.mT
            norms = one.right.norm(dim=2).unsqueeze(2) * other.right.norm(dim=2).unsqueeze(1)
            expected = (left.abs() * norms).sum(dim=(1, 2))
            if one.left.is_floating_point() and other.left.is_floating_point():
                more = rows(one).norm(dim=2).unsqueeze(2) * rows(other).norm(dim=2).unsqueeze(1) * right.abs()
                expected = expected + more.sum(dim=(1, 2))
            torch.testing.assert_close(inner(one, other).mass, expected)


class _Scaled(nn.Module):
    """A layer under losses whose output gradients are given."""

    def __init__(self, layer: nn.Module, tied: bool = False) -> None:
        super().__init__()
        self.layer = layer
        self.head = nn.Linear(40, 300, bias=False) if tied else None
        if self.head is not None:
            self.head.weight = self.layer.weight  # type: ignore[assignment]

    def forward(self, given: Tensor, grads: Tensor) -> Tensor:
        losses: Tensor = (self.layer(given) * grads).sum(dim=(1, 2))
        if self.head is not None:
            losses = losses - self.head(grads).gather(2, given.unsqueeze(2)).sum(dim=(1, 2))
        return losses


def _cancelling(layer: nn.Module, size: float) -> tuple[Tensor, Tensor]:
    """Inputs and output gradients of two samples, two positions; those of the first sample nearly cancel."""
    generator = torch.Generator().manual_seed(3)
    if isinstance(layer, nn.Embedding):
        given = torch.randint(0, 300, (2, 1), generator=generator).expand(2, 2).contiguous()
        width = 40
    else:
        given = torch.randn(2, 1, 300, generator=generator).expand(2, 2, 300).contiguous()
        width = 300
    grads = torch.randn(2, 1, width, generator=generator) * size
    grads = torch.cat([grads, -grads], dim=1)
    grads[:, 1] += torch.randn(2, width, generator=generator)
    grads[1] = 1e-3
    return given, grads


_LAYERS = {
    "linear": lambda: _Scaled(nn.Linear(300, 300)),
    "conv1d": lambda: _Scaled(Conv1D(300, 300)),
    "embedding": lambda: _Scaled(nn.Embedding(300, 40)),
    "norm": lambda: _Scaled(nn.LayerNorm(300)),
    "tied": lambda: _Scaled(nn.Embedding(300, 40), tied=True),
}


@pytest.mark.parametrize("engine", [BookKeepingEngine, OneSampleEngine])
@pytest.mark.parametrize("clipping", ["flat", "per-layer", "automatic", "adaptive"])
@pytest.mark.parametrize("size", [1e2, 1e5, 1e10])
@pytest.mark.parametrize("layer", sorted(_LAYERS))
def test_every_layer_and_rule_keeps_to_the_bound(
    engine: type[ClippingEngine], clipping: Clipping, size: float, layer: str
) -> None:
    torch.manual_seed(0)
    model = _LAYERS[layer]()
    given, grads = _cancelling(model.layer, size)
    made = engine(model, max_grad_norm=0.1, clipping=clipping)
    if isinstance(made, BookKeepingEngine):
        made._checked_with = 2  # autograd's own rounding of what cancels is not what is asked here
    with made.recording(1):
        losses = model(given[:1], grads[:1])
    made.backward(losses)
    total = torch.stack([value.double().norm() for value in made.summed_grads().values()]).norm()
    assert float(total) <= 0.1 * _MOST


def test_only_what_cancels_is_formed() -> None:
    one, other = _factors(1, 4, 1e3, 1e-6), _factors(2, 4, 1e3, 3.0)
    both = Factors(torch.cat([one.left, other.left]), torch.cat([one.right, other.right]))
    gradient = ParameterGradient(nn.Parameter(torch.empty(600, 600, device="meta")))
    gradient.positions = 4
    gradient._add_factors(both, GramCache())
    assert gradient.lost() == [0]
    weights = torch.tensor([2.0, 3.0])
    formed = instantiate(both, 600)
    torch.testing.assert_close(gradient.add_weighted(None, weights), 2 * formed[0] + 3 * formed[1], rtol=1e-4, atol=0.5)
    only = gradient.add_weighted(torch.zeros(600, 600), weights[:1], torch.tensor([0]))
    torch.testing.assert_close(only, 2 * formed[0], rtol=0, atol=0)


@pytest.mark.parametrize("shape", [(2, 900, 700), (2, 30_000)])
def test_norms_of_many_numbers(shape: tuple[int, ...]) -> None:
    formed = torch.full(shape, 0.1)
    exact = formed.double().flatten(1).square().sum(dim=1)
    assert squared_norms(formed).tolist() == pytest.approx(exact.tolist(), rel=1e-6)
