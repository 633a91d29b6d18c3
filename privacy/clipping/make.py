"""Clipping engines by name."""

from __future__ import annotations

from typing import Literal, get_args

from torch import nn

from privacy.clipping.book_keeping import BookKeepingEngine
from privacy.clipping.engine import ClippingEngine
from privacy.clipping.errors import ClippingError
from privacy.clipping.one_sample import OneSampleEngine
from privacy.clipping.rules import Clipping, ClippingRule

EngineName = Literal["book-keeping", "one-sample", "opacus-hooks", "opacus-ghost"]


def make_engine(
    name: EngineName, model: nn.Module, *, max_grad_norm: float, clipping: Clipping | ClippingRule = "flat"
) -> ClippingEngine:
    """The engine of that name for `model`.

    Args:
        name: "book-keeping" unless there is a reason; "one-sample" where it refuses the model; Opacus' to compare with.
        model: see ClippingEngine.
        max_grad_norm: see ClippingEngine.
        clipping: Opacus' engines know "flat", and with hooks "per-layer".

    Raises:
        ClippingError: the name is unknown, or the engine refuses the model or the rule.
    """
    kinds: dict[str, type[ClippingEngine]] = {"book-keeping": BookKeepingEngine, "one-sample": OneSampleEngine}
    if name not in get_args(EngineName):
        raise ClippingError(f"clipping engine {name!r} is unknown; choose from {', '.join(get_args(EngineName))}")
    if name not in kinds:
        from privacy.clipping.opacus_modes import OpacusGhostEngine, OpacusHooksEngine  # slow to import

        kinds |= {"opacus-hooks": OpacusHooksEngine, "opacus-ghost": OpacusGhostEngine}
    return kinds[name](model, max_grad_norm=max_grad_norm, clipping=clipping)
