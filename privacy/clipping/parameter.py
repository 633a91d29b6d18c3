"""What is known about the per-sample gradients of one parameter while a backward pass runs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from privacy.clipping.factors import Factors, GramCache, add_weighted, inner, instantiate


def instantiation_is_smaller(positions: int, rows: int, columns: int) -> bool:
    """Whether to form the per-sample gradients of a matrix, rather than keep their factors.

    Book-keeping (Bu et al. 2022, arXiv 2210.00038) forms them when 2 positions^2 > rows * columns: the Gram matrices
    would be larger. We also do when the gradient is no larger than the factors, which it then replaces: that costs no
    memory, and saves the Gram products.
    """
    gradient = rows * columns
    return gradient < 2 * positions**2 or gradient <= positions * (rows + columns)


class ParameterGradient:
    """Per-sample gradients of one parameter, summed over all its uses: as factors or formed, whichever is smaller."""

    def __init__(self, parameter: nn.Parameter) -> None:
        self.shape = parameter.shape
        self.positions = 0
        """Positions per sample, over all uses of the forward pass."""
        self._factors: list[Factors] = []
        self._formed: Tensor | None = None
        self._squares: Tensor | None = None

    def add(self, gradient: Factors | Tensor, grams: GramCache) -> None:
        """Add the gradients of one use: factors, or formed [samples, *shape]."""
        if isinstance(gradient, Factors):
            if not instantiation_is_smaller(self.positions, *self.shape):
                self._add_factors(gradient, grams)
                return
            gradient = instantiate(gradient, self.shape[0])
        self._formed = gradient if self._formed is None else self._formed + gradient

    def _add_factors(self, factors: Factors, grams: GramCache) -> None:
        squares = inner(factors, factors, grams)
        for earlier in self._factors:
            squares = squares + 2 * inner(earlier, factors)
        self._squares = squares if self._squares is None else self._squares + squares
        self._factors.append(factors)

    def squared_norms(self) -> Tensor | None:
        """Squared norms [samples]; None where no gradient has come."""
        if self._formed is not None:
            norms: Tensor = torch.linalg.vector_norm(self._formed.flatten(1), dim=1)
            return norms.square()
        return None if self._squares is None else self._squares.clamp(min=0)  # rounding can make it negative

    def add_weighted(self, total: Tensor | None, weights: Tensor, samples: Tensor | None = None) -> Tensor | None:
        """`total` plus the sum over samples of weight times gradient; None where both are nothing.

        Args:
            total: of the parameter's shape; may be changed.
            weights: [samples].
            samples: indices that `weights` belong to, if not all: a non-finite gradient must not be multiplied, even
                by zero.
        """
        if self._formed is not None:
            formed = self._formed if samples is None else self._formed[samples]
            summed = (weights.to(formed.dtype) @ formed.flatten(1)).view(self.shape)
            return summed if total is None else total.add_(summed)
        for factors in self._factors:
            kept = factors if samples is None else factors.take(samples)
            total = add_weighted(total, kept, weights, self.shape)
        return total

    def clear(self) -> None:
        """Let the gradients go."""
        self._factors = []
        self._formed = self._squares = None
