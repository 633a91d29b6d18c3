"""What a layer must say about its per-sample gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from torch import Tensor, nn

from privacy.clipping.factors import Factors

Wanted = Callable[[Tensor | None], bool]
"""Whether a parameter is trained."""

Gradients = Iterator[tuple[Tensor, Factors | Tensor]]
"""Parameters with their per-sample gradients: factors, or formed [samples, *shape]."""


class Layer(Protocol):
    """Per-sample gradients of one kind of module."""

    def needs_input(self, module: nn.Module, wanted: Wanted) -> bool:
        """Whether the input must be kept for the backward pass."""
        ...

    def gradients(self, module: nn.Module, given: Tensor | None, grad: Tensor, wanted: Wanted) -> Gradients:
        """Gradients of the trained parameters.

        Args:
            module: the module.
            given: its input [samples, positions, features] (ids [samples, positions] of an embedding); None if it was
                not needed.
            grad: the gradient of its output [samples, positions, features].
            wanted: which parameters are trained.
        """
        ...
