"""How much of each sample's gradient is kept: its norm made at most the clipping norm.

Sources: flat: Abadi et al. 2016; per layer: McMahan et al. 2018; automatic: Bu et al. 2023 (arXiv 2206.07136);
adaptive: Andrew et al. 2021 (arXiv 1905.03871).
"""

from __future__ import annotations

import math
from typing import Literal, Protocol

import torch
from torch import Tensor

from privacy.clipping.errors import ClippingError

Clipping = Literal["flat", "per-layer", "automatic", "adaptive"]

_STABILITY = 0.01
"""gamma of automatic clipping, as in the paper."""
LEAST_NORM = 1e-30
"""Clipping norm, and deviation of the noise, from which float32 holds either to all its digits: numbers below 1e-38 are
whole multiples of 1e-45, so that a share is no longer clipped to the norm, nor noise Gaussian."""


class ClippingRule(Protocol):
    """Weights of samples' gradients."""

    max_grad_norm: float
    """Bound on the norm of any sample's weighted gradient: the sensitivity of the sum."""

    def weights(self, squares: Tensor) -> Tensor:
        """Squared norms [layers, samples] -> weights [layers, samples]."""
        ...


def rule_of(clipping: Clipping, max_grad_norm: float) -> ClippingRule:
    """The rule of that name. Raises ClippingError for an unknown name or a norm that is not positive."""
    if not (max_grad_norm > 0 and math.isfinite(max_grad_norm)):
        raise ClippingError(f"max_grad_norm is {max_grad_norm}; it must be a positive number")
    if max_grad_norm < LEAST_NORM:
        raise ClippingError(
            f"max_grad_norm is {max_grad_norm:g}, too small for 32-bit numbers; give {LEAST_NORM:g} or more"
        )
    rules = {"flat": Flat, "per-layer": PerLayer, "automatic": Automatic, "adaptive": Adaptive}
    if clipping not in rules:
        raise ClippingError(f"clipping {clipping!r} is unknown; choose from {', '.join(rules)}")
    rule: ClippingRule = rules[clipping](max_grad_norm)
    return rule


def _shrink(norms: Tensor, bound: float) -> Tensor:
    return (bound / norms.clamp(min=torch.finfo(norms.dtype).tiny)).clamp(max=1.0)


class Flat:
    """min(1, C / norm), norm over all layers."""

    def __init__(self, max_grad_norm: float) -> None:
        self.max_grad_norm = max_grad_norm

    def weights(self, squares: Tensor) -> Tensor:
        """See ClippingRule."""
        return _shrink(squares.sum(dim=0).sqrt(), self.max_grad_norm).expand_as(squares)


class PerLayer(Flat):
    """min(1, C_l / norm of the layer) with C_l = C / sqrt(layers), so that all layers together keep to C."""

    def weights(self, squares: Tensor) -> Tensor:
        """See ClippingRule."""
        return _shrink(squares.sqrt(), self.max_grad_norm / math.sqrt(len(squares)))


class Automatic(Flat):
    """C / (norm + 0.01): all samples brought near to norm C, none left small."""

    def weights(self, squares: Tensor) -> Tensor:
        """See ClippingRule."""
        return (self.max_grad_norm / (squares.sum(dim=0).sqrt() + _STABILITY)).expand_as(squares)


class Adaptive(Flat):
    """Flat, with a clipping norm that follows a quantile of the norms, counted with noise.

    The count costs privacy: for `noise_multiplier` sigma in the accountant the gradients must get the larger
    `gradient_noise(sigma)`.
    """

    def __init__(
        self, max_grad_norm: float, *, quantile: float = 0.5, rate: float = 0.2, count_noise: float = 10.0
    ) -> None:
        super().__init__(max_grad_norm)
        self.quantile = quantile
        self.rate = rate
        self.count_noise = count_noise
        """Standard deviation of the noise on the count, in records."""
        self._within: Tensor | None = None
        """Samples within the norm in the logical step so far, where the model is: read once a step."""
        self._samples = 0

    def weights(self, squares: Tensor) -> Tensor:
        """See ClippingRule; counts the samples within the norm."""
        within = squares.sum(dim=0).sqrt() <= self.max_grad_norm  # non-finite norms are not
        self._within = within.sum() if self._within is None else self._within + within.sum()
        self._samples += len(within)
        return super().weights(squares)

    def take_count(self) -> float:
        """The centred count of the logical step so far, not yet private; the next one starts from zero."""
        count = (0.0 if self._within is None else float(self._within)) - self._samples / 2
        self._within, self._samples = None, 0
        return count

    def move(self, count: float, expected_batch_size: float) -> None:
        """Move the norm after a logical step by its noisy centred count."""
        share = count / expected_batch_size + 0.5  # one sample moves the centred count by 1/2
        moved = self.max_grad_norm * math.exp(-self.rate * (min(1.0, max(0.0, share)) - self.quantile))
        self.max_grad_norm = max(LEAST_NORM, moved)

    def gradient_noise(self, noise_multiplier: float) -> float:
        """Noise multiplier of the gradients, (sigma^-2 - (2 sigma_b)^-2)^-1/2, that leaves sigma for both releases."""
        if noise_multiplier == 0:
            return 0.0  # no guarantee is asked for
        spare = noise_multiplier**-2 - (2 * self.count_noise) ** -2
        if spare <= 0:
            raise ClippingError(
                f"adaptive clipping counts with a noise of {self.count_noise:g} records, so it needs a noise "
                f"multiplier below {2 * self.count_noise:g}, which is {noise_multiplier:g}; raise epsilon (or lower "
                "the noise), or take clipping: flat"
            )
        return float(spare**-0.5)
