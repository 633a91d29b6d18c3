"""`nn.Embedding`: rows of a table by id. The row of `padding_idx` has no gradient, as in PyTorch."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from privacy.clipping.factors import Factors
from privacy.clipping.layers.base import Gradients, Wanted


class EmbeddingLayer:
    """See Layer."""

    def needs_input(self, module: nn.Module, wanted: Wanted) -> bool:
        """The ids."""
        return wanted(cast(nn.Embedding, module).weight)

    def gradients(self, module: nn.Module, given: Tensor | None, grad: Tensor, wanted: Wanted) -> Gradients:
        """See Layer."""
        table = cast(nn.Embedding, module)
        if given is not None:
            if table.padding_idx is not None:
                grad = grad.masked_fill((given == table.padding_idx).unsqueeze(2), 0)
            yield table.weight, Factors(given, grad)
