"""Per-sample gradients of a matrix as products of two thin factors, so that they need not be formed.

The gradient of sample b is left[b]^T right[b]. A linear layer has left = output gradients, right = inputs; HF's Conv1D
the other way round; an embedding has left = one-hot rows, kept as ids. Norms and inner products of such gradients are
those of Gram matrices over positions (Goodfellow 2015; Li et al. 2022; for tied embeddings see `inner`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Factors:
    """Factors of the gradients [samples, rows, columns] of one use of a weight."""

    left: Tensor
    """[samples, positions, rows], or ids [samples, positions] that stand for one-hot rows."""

    right: Tensor
    """[samples, positions, columns]."""

    def take(self, samples: Tensor) -> Factors:
        """The factors of these samples only."""
        return Factors(self.left[samples], self.right[samples])


_SLICE = 4096
"""Features of a low-precision factor that are widened at a time: a vocabulary's worth would be the largest tensor."""


def wide(values: Tensor) -> Tensor:
    """`values` in float32, or in float64 where they are that: norms and sums are never taken in less."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def sum_positions(values: Tensor) -> Tensor:
    """Sums over positions, in float32 at least: [samples, positions, features] -> [samples, features]."""
    return values.sum(dim=1, dtype=torch.promote_types(values.dtype, torch.float32))


def _is_narrow(values: Tensor) -> bool:
    return values.is_floating_point() and values.dtype.itemsize < torch.float32.itemsize


@dataclass(frozen=True, slots=True)
class Inner:
    """Inner products of gradients, and how much rounding may have changed them."""

    value: Tensor
    """[samples]."""

    mass: Tensor
    """[samples]: the error is at most this times the error of a dot product, relative to the vectors' norms."""


def inner(one: Factors, other: Factors, grams: GramCache | None = None) -> Inner:
    """Inner products of the gradients of two uses of the same weight: sum_ts (L L'^T)_ts (R R'^T)_ts.

    For the two uses of a tied embedding this is sum_ts b_s[x_t] (e_t . a_s), with ids x, embedding gradients e, head
    inputs a and logit gradients b: exact, without a vocabulary-sized matrix per sample.

    A dot product is wrong by no more than c |l_t| |l_s| (Higham 2002, section 3.1), so the sum by no more than
    c sum_ts (|l_t| |l_s| |R_ts| + |L_ts| |r_t| |r_s|). That is far above the sum only where positions cancel.
    """
    right = (grams or GramCache())(one.right, other.right)
    left = _left_gram(one.left, other.left)
    mass = _between(left.abs() if left.is_floating_point() else left.to(right.dtype), one.right, other.right, right)
    if one.left.is_floating_point() and other.left.is_floating_point():  # ids are compared and gathered, not multiplied
        mass = mass + _between(right.abs(), one.left, other.left, left)
    return Inner((left * right).sum(dim=(1, 2)), mass)


def squares_of_one_position(factors: Factors) -> Tensor:
    """Squared norms [samples] of gradients of a single position each: |l|^2 |r|^2, where nothing can cancel."""
    squares: Tensor = torch.linalg.vector_norm(wide(factors.right), dim=2).square().squeeze(1)
    if factors.left.is_floating_point():
        squares = squares * torch.linalg.vector_norm(wide(factors.left), dim=2).square().squeeze(1)
    return squares


def _between(magnitudes: Tensor, one: Tensor, other: Tensor, gram: Tensor) -> Tensor:
    """sum_ts |one_t| M_ts |other_s| [samples]; `gram`: of one with other."""
    if one is other:
        norms = other_norms = gram.diagonal(dim1=1, dim2=2).sqrt()
    else:
        norms, other_norms = (torch.linalg.vector_norm(wide(each), dim=2) for each in (one, other))
    return (torch.bmm(magnitudes, other_norms.unsqueeze(2)).squeeze(2) * norms).sum(dim=1)


class GramCache:
    """Gram matrices [samples, positions, positions] of one tensor with another; remembers the last of one with itself.

    Query, key and value projections read the same input, one after the other.
    """

    def __init__(self) -> None:
        self._of: Tensor | None = None
        self._gram: Tensor | None = None

    def __call__(self, one: Tensor, other: Tensor) -> Tensor:
        """The Gram matrices of `one` with `other`."""
        if one is not other:
            return _gram(one, other)
        if self._of is None or self._gram is None or not _same_memory(self._of, one):
            self._of, self._gram = one, _gram(one, one)
        return self._gram

    def clear(self) -> None:
        """Forget it, and let its memory go."""
        self._of = self._gram = None


def _same_memory(one: Tensor, other: Tensor) -> bool:
    layout = one.shape == other.shape and one.stride() == other.stride() and one.dtype == other.dtype
    return layout and one.data_ptr() == other.data_ptr() and one.device == other.device


def _gram(one: Tensor, other: Tensor) -> Tensor:
    if one.shape[2] <= _SLICE or not (_is_narrow(one) or _is_narrow(other)):
        return torch.bmm(wide(one), wide(other).transpose(1, 2))
    gram = wide(one.new_zeros(len(one), one.shape[1], other.shape[1]))
    for part, other_part in zip(torch.split(one, _SLICE, dim=2), torch.split(other, _SLICE, dim=2), strict=True):
        gram.baddbmm_(wide(part), wide(other_part).transpose(1, 2))
    return gram


def _left_gram(one: Tensor, other: Tensor) -> Tensor:
    if one.is_floating_point() and other.is_floating_point():
        return _gram(one, other)
    if other.is_floating_point():
        places = one.unsqueeze(1).expand(-1, other.shape[1], -1)
        return wide(other.gather(2, places)).transpose(1, 2)
    if one.is_floating_point():
        return _left_gram(other, one).transpose(1, 2)
    return one.unsqueeze(2) == other.unsqueeze(1)


def instantiate(factors: Factors, rows: int) -> Tensor:
    """The gradients themselves [samples, rows, columns]."""
    left, right = factors.left, wide(factors.right)
    if left.is_floating_point():
        return torch.bmm(wide(left).transpose(1, 2), right)
    samples, columns = len(left), right.shape[2]
    places = left + rows * torch.arange(samples, device=left.device).unsqueeze(1)
    total = right.new_zeros(samples * rows, columns)
    return total.index_add_(0, places.flatten(), right.flatten(0, 1)).view(samples, rows, columns)


def add_weighted(total: Tensor | None, factors: Factors, weights: Tensor, shape: torch.Size) -> Tensor:
    """`total` (zero if None) plus the sum over samples of weight times gradient, in one product; may change `total`.

    Args:
        total: [rows, columns] or None.
        factors: of the gradients to add.
        weights: [samples].
        shape: (rows, columns).
    """
    left, right = factors.left, wide(factors.right)
    scale = weights.to(right.dtype).view(-1, 1, 1)
    if not left.is_floating_point():
        total = right.new_zeros(shape) if total is None else total
        return total.index_add_(0, left.flatten(), (right * scale).flatten(0, 1))
    if _is_narrow(left) and shape[0] > _SLICE:
        total = right.new_zeros(shape) if total is None else total
        for rows, part in zip(torch.split(total, _SLICE), torch.split(left, _SLICE, dim=2), strict=True):
            rows.addmm_(wide(part).flatten(0, 1).t(), (right * scale).flatten(0, 1))
        return total
    left = wide(left)
    if left.shape[2] < right.shape[2]:
        left = left * scale
    else:
        right = right * scale
    one, other = left.flatten(0, 1).t(), right.flatten(0, 1)
    return one @ other if total is None else total.addmm_(one, other)
