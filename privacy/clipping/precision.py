"""How far float32 may be trusted with the norm of a gradient that was never formed."""

from __future__ import annotations

import torch
from torch import Tensor

_DOT_MOST, _DOT_LEAST, _POSITIONS = 64, 8, 32
"""Error of a dot product, in roundings of its vectors' norms: of 32 to 30,000 unlike features at most 15 were found, 50
where all features are equal (80 of 30,000); so 64. Errors of many positions are not all of one sign, and
average: of more than 32 positions less is counted, in proportion, down to 8. That leaves ordinary models alone: in BERT
and GPT-2 the mass is up to as many times the squared norm as there are positions."""
_ALLOWED = 1.5e-4
"""Error allowed of a squared norm, relative: it makes a sample's share of the sum 0.75e-4 larger than the bound."""
_DOT_ROUNDED, _ALLOWED_ROUNDED = 2.0**-14, 0.02
"""The same where products are rounded to 10 bits (TF32), if the user has asked torch for that: over 64 features and
more their errors average to an eighth of one rounding; a share of the sum is then up to 1 % larger."""


def rounds_products() -> bool:
    """Whether float32 matrices are multiplied in less (TF32, bfloat16)."""
    return torch.get_float32_matmul_precision() != "highest"


def is_lost(squares: Tensor, mass: Tensor, positions: int) -> Tensor:
    """Whether each squared norm [samples] may be wrong by more than is allowed; False where it is not finite.

    `mass` is that of privacy.clipping.factors.Inner, over so many `positions` per sample.
    """
    if rounds_products() and squares.dtype == torch.float32:
        return _DOT_ROUNDED * mass > _ALLOWED_ROUNDED * squares
    roundings = max(_DOT_LEAST, _DOT_MOST * min(1.0, _POSITIONS / max(1, positions)))
    return roundings * torch.finfo(squares.dtype).eps / 2 * mass > _ALLOWED * squares


def squared_norms(formed: Tensor) -> Tensor:
    """Squared norms [samples] of gradients [samples, *shape].

    Row by row: torch's norm of millions of numbers in one go is up to 1 % too small in float32 on a CPU, as its sums
    grow too large for what is still to be added (measured: 1.0 % of 23 million equal numbers, 3e-4 of 590,000).
    """
    rows: Tensor = torch.linalg.vector_norm(formed, dim=-1) if formed.ndim > 2 else formed
    return rows.square().flatten(1).sum(dim=1)
