"""Opacus' own modes, to compare with: hooks, which form all per-sample gradients, and ghost clipping."""

from __future__ import annotations

from typing import Any, cast

import torch
from opacus.grad_sample import GradSampleModule, GradSampleModuleFastGradientClipping
from torch import Tensor, nn

from privacy.clipping.errors import ClippingError
from privacy.clipping.opacus_base import INSTEAD, OpacusEngine
from privacy.clipping.precision import squared_norms
from privacy.clipping.sums import get_sum, set_sum, sum_type


class OpacusHooksEngine(OpacusEngine):
    """GradSampleModule: the gradients of all samples are formed, then weighed and summed."""

    mode = "hooks"
    rules = ("flat", "per-layer")
    _goes_back_twice = False

    def _refuse(self, model: nn.Module) -> None:
        pass

    def _attach(self, model: nn.Module) -> Any:
        return GradSampleModule(model, loss_reduction="sum")

    def _norm(self, parameter: nn.Parameter) -> Tensor | None:
        formed: Tensor | None = cast(Any, parameter).grad_sample
        return None if formed is None else squared_norms(formed.to(sum_type(parameter))).sqrt()

    def _sum(self, losses: Tensor, weights: Tensor, usable: Tensor) -> None:
        some_are_not = not usable.all()  # asked once: a device is waited for each time
        for name, value in self.trained.items():
            formed: Tensor | None = cast(Any, value).grad_sample
            if formed is not None:
                mine = weights[self._layer[name]]
                if some_are_not:  # zero times a gradient that is not finite would not be zero
                    formed, mine = formed[usable], mine[usable]
                formed = formed.to(sum_type(value))
                _add(value, torch.einsum("b,b...->...", mine.to(formed.dtype), formed))


class OpacusGhostEngine(OpacusEngine):
    """GradSampleModuleFastGradientClipping: norms from one backward pass, sums from a second of the weighted losses."""

    mode = "ghost"
    rules = ("flat",)
    _goes_back_twice = True

    def _refuse(self, model: nn.Module) -> None:
        owners: dict[int, str] = {}
        for owner, module in model.named_modules():
            for key, value in module.named_parameters(recurse=False):
                name = f"{owner}.{key}".lstrip(".")
                if value.requires_grad and id(value) in owners:
                    raise ClippingError(
                        f"Opacus' ghost mode does not support tied parameters, and {name!r} is {owners[id(value)]!r}; "
                        f"{INSTEAD}, which does"
                    )
                owners[id(value)] = name

    def _attach(self, model: nn.Module) -> Any:
        return GradSampleModuleFastGradientClipping(
            model, max_grad_norm=self.max_grad_norm, use_ghost_clipping=True, loss_reduction="sum"
        )

    def _norm(self, parameter: nn.Parameter) -> Tensor | None:
        norms: Tensor | None = getattr(parameter, "_norm_sample", None)
        return norms

    def _sum(self, losses: Tensor, weights: Tensor, usable: Tensor) -> None:
        self._clear_grads()
        self._broken = None if usable.all() else ~usable
        torch.autograd.backward((torch.where(usable, losses, 0) * weights[0].to(losses.dtype)).sum())
        for name, value in self.trained.items():
            if value.grad is not None:
                if self._broken is not None and not value.grad.isfinite().all():
                    raise ClippingError(
                        "a sample's activations are not finite, and Opacus' ghost mode cannot leave it out of the "
                        f"gradient of {name!r}; {INSTEAD}, which can"
                    )
                _add(value, value.grad.to(sum_type(value)))
                value.grad = None


def _add(parameter: nn.Parameter, part: Tensor) -> None:
    summed = get_sum(parameter)
    set_sum(parameter, part if summed is None else summed.add_(part))
