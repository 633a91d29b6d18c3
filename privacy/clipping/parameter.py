"""What is known about the per-sample gradients of one parameter while a backward pass runs."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from privacy.clipping.factors import Factors, GramCache, add_weighted, inner, instantiate, squares_of_one_position
from privacy.clipping.precision import is_lost, squared_norms


def instantiation_is_smaller(positions: int, rows: int, columns: int) -> bool:
    """Whether to form the per-sample gradients of a matrix, rather than keep their factors.

    Book-keeping (Bu et al. 2022, arXiv 2210.00038) forms them when 2 positions^2 > rows * columns: the Gram matrices
    would be larger. We also do when the gradient is no larger than the factors, which it then replaces: that costs no
    memory, and saves the Gram products.
    """
    gradient = rows * columns
    return gradient < 2 * positions**2 or gradient <= positions * (rows + columns)


class ParameterGradient:
    """Per-sample gradients of one parameter, summed over all its uses: as factors or formed, whichever is smaller.

    Where the parts of a sample's gradient cancel, so that rounding is not small against what is left of them, that
    sample's gradient is formed all the same, for its norm and for its share of the sum: the two then agree.
    """

    def __init__(self, parameter: nn.Parameter) -> None:
        self.shape = parameter.shape
        self.positions = 0
        """Positions per sample, over all uses of the forward pass."""
        self._factors: list[Factors] = []
        self._formed: Tensor | None = None
        self._squares: Tensor | None = None
        self._mass: Tensor | None = None
        """Of `_squares`: see `Inner`."""
        self._lost: list[int] | None = None
        """Samples whose squared norm rounding has spoilt, once they are looked for."""

    def add(self, gradient: Factors | Tensor, grams: GramCache) -> None:
        """Add the gradients of one use: factors, or formed [samples, *shape]."""
        if isinstance(gradient, Factors):
            if not instantiation_is_smaller(self.positions, *self.shape):
                self._add_factors(gradient, grams)
                return
            gradient = instantiate(gradient, self.shape[0])
        self._formed = gradient if self._formed is None else self._formed + gradient

    def _add_factors(self, factors: Factors, grams: GramCache) -> None:
        if self.positions == 1:
            self._squares, self._factors = squares_of_one_position(factors), [factors]
            return
        with_itself = inner(factors, factors, grams)
        squares, mass = with_itself.value, with_itself.mass
        for earlier in self._factors:
            crossed = inner(earlier, factors)
            squares, mass = squares + 2 * crossed.value, mass + 2 * crossed.mass
        self._squares = squares if self._squares is None else self._squares + squares
        self._mass = mass if self._mass is None else self._mass + mass
        self._factors.append(factors)

    def squared_norms(self) -> Tensor | None:
        """Squared norms [samples]; None where no gradient has come."""
        if self._formed is not None:
            return squared_norms(self._formed)
        if self._squares is None:
            return None
        squares = self._squares.clamp(min=0)  # rounding can make it negative
        for place in self.lost():
            squares[place] = squared_norms(self._form(place).unsqueeze(0))[0]
        return squares

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
        lost = self.lost()
        if lost:
            total, weights = self._add_lost(total, weights, samples, lost)
        for factors in self._factors:
            kept = factors if samples is None else factors.take(samples)
            total = add_weighted(total, kept, weights, self.shape)
        return total

    def spoilt(self) -> Tensor | None:
        """Whether rounding has spoilt the squared norm of each sample, [samples]; None where none can be."""
        if self._squares is None or self._mass is None:
            return None
        return is_lost(self._squares, self._mass, self.positions)

    def lost(self) -> list[int]:
        """Samples whose squared norm rounding has spoilt; see `find_lost`."""
        if self._lost is None:
            find_lost([self])
        return self._lost or []

    def _form(self, sample: int) -> Tensor:
        chosen = slice(sample, sample + 1)
        parts = [instantiate(Factors(one.left[chosen], one.right[chosen]), self.shape[0])[0] for one in self._factors]
        return torch.stack(parts).sum(dim=0) if len(parts) > 1 else parts[0]

    def _add_lost(
        self, total: Tensor | None, weights: Tensor, samples: Tensor | None, lost: list[int]
    ) -> tuple[Tensor | None, Tensor]:
        """`total` with the formed gradients of the samples `lost`, and the weights of the others: zero for these."""
        weights = weights.clone()
        places = range(len(weights)) if samples is None else samples.tolist()
        for place, sample in enumerate(places):
            if sample in lost:
                part = self._form(sample) * weights[place]
                total = part if total is None else total.add_(part)
                weights[place] = 0
        return total, weights

    def clear(self) -> None:
        """Let the gradients go."""
        self._factors = []
        self._formed = self._squares = self._mass = self._lost = None


def find_lost(gradients: Iterable[ParameterGradient]) -> None:
    """Look for lost samples of all parameters at once: a device is waited for once, not once for each of them."""
    known = []
    for gradient in gradients:
        gradient._lost = []
        if (spoilt := gradient.spoilt()) is not None:
            known.append((gradient, spoilt))
    if known:
        for (gradient, _), row in zip(known, torch.stack([spoilt for _, spoilt in known]).tolist(), strict=True):
            gradient._lost = [place for place, is_spoilt in enumerate(row) if is_spoilt]
