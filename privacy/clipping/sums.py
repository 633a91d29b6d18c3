"""Clipped sums, kept where Opacus' optimizers look for them: `parameter.summed_grad`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from privacy.clipping.errors import ClippingError

USED = "the clipped sums were already used for a step; call optimizer.zero_grad() after each step"


def sum_type(parameter: nn.Parameter) -> torch.dtype:
    """float32, or float64 for such a parameter."""
    return torch.promote_types(parameter.dtype, torch.float32)


def get_sum(parameter: nn.Parameter) -> Tensor | None:
    """The clipped sum so far. Raises ClippingError where it was already used for a step."""
    summed: Tensor | None = getattr(parameter, "summed_grad", None)
    if summed is not None and hasattr(summed, "_processed"):  # Opacus' mark
        raise ClippingError(USED)
    return summed


def set_sum(parameter: nn.Parameter, summed: Tensor) -> None:
    """Keep `summed` as the clipped sum of `parameter`."""
    cast(Any, parameter).summed_grad = summed


def drop_sum(parameter: nn.Parameter) -> None:
    """Let go of the clipped sum of `parameter`."""
    cast(Any, parameter).summed_grad = None


def fill_sums(parameters: Mapping[str, nn.Parameter]) -> None:
    """Zeros where no sample has added anything: noise goes there too."""
    for parameter in parameters.values():
        if get_sum(parameter) is None:
            set_sum(parameter, torch.zeros_like(parameter, dtype=sum_type(parameter), requires_grad=False))
