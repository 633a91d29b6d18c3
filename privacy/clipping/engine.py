"""What all clipping engines share: the rule, the sums, the statistics."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from privacy.clipping.errors import ClippingError
from privacy.clipping.refuse import refuse_mixing
from privacy.clipping.rules import Clipping, ClippingRule, rule_of
from privacy.clipping.sums import fill_sums, get_sum


@dataclass(frozen=True, slots=True)
class ClippingStats:
    """What clipping did to one micro-batch. Not privatised: not to be released."""

    norms: Tensor
    """Norms of the samples' gradients before clipping [samples]; non-finite where the gradient is."""

    smaller: Tensor
    """Samples with finite gradients that were made smaller: a number where the model is, which nobody waits for."""

    non_finite: int
    """Samples that contributed zero because their loss or gradient is not finite."""

    @property
    def clipped(self) -> float | None:
        """Share of the samples with finite gradients that were made smaller; None where there is none."""
        usable = len(self.norms) - self.non_finite
        return float(self.smaller) / usable if usable else None


class ClippingEngine(ABC):
    """Adds the clipped per-sample gradients of micro-batches to `parameter.summed_grad`."""

    def __init__(self, model: nn.Module, *, max_grad_norm: float, clipping: Clipping | ClippingRule = "flat") -> None:
        """Prepare `model`; parameters that are frozen by now stay out.

        Args:
            model: with per-sample losses that do not depend on other samples.
            max_grad_norm: bound C on the norm of each sample's contribution; a rule of one's own brings its own.
            clipping: name of a rule, or a rule.

        Raises:
            ClippingError: the model mixes samples, or trains nothing.
        """
        refuse_mixing(model)
        self.model = model
        self.rule: ClippingRule = rule_of(clipping, max_grad_norm) if isinstance(clipping, str) else clipping
        self.trained = self._trained_now()
        if not self.trained:
            raise ClippingError("every parameter of the model is frozen: there is nothing to train")
        owners = [name.rpartition(".")[0] for name in self.trained]
        layers = {owner: place for place, owner in enumerate(dict.fromkeys(owners))}
        self._layer = {name: layers[owner] for name, owner in zip(self.trained, owners, strict=True)}
        self._samples: int | None = None

    def _trained_now(self) -> dict[str, nn.Parameter]:
        return {name: value for name, value in self.model.named_parameters() if value.requires_grad}

    @property
    def max_grad_norm(self) -> float:
        """Sensitivity of the sums in the present logical step."""
        return self.rule.max_grad_norm

    @contextmanager
    def recording(self, batch_size: int) -> Iterator[None]:
        """Context for the forward pass and the losses of a micro-batch of `batch_size` samples; may be 0."""
        if self._trained_now().keys() != self.trained.keys():
            raise ClippingError(
                "parameters were frozen or unfrozen since the engine was made, so some would be trained unclipped; "
                "make the engine and its optimizer anew"
            )
        self._samples = batch_size
        with self._forward(batch_size):
            yield

    def backward(self, losses: Tensor) -> ClippingStats:
        """Add the clipped gradients of a micro-batch to the sums.

        Args:
            losses: [samples], from inside `recording`.

        Raises:
            ClippingError: there is not one loss per sample, or the gradients cannot be told apart.
        """
        samples, self._samples = self._samples, None
        if samples is None:
            raise ClippingError("backward without a forward pass: compute the losses inside `with engine.recording(n)`")
        if losses.shape != (samples,):
            raise ClippingError(
                f"the losses have shape {tuple(losses.shape)}; per-sample clipping needs one loss for each of the "
                f"{samples} samples, not their mean"
            )
        if not samples:
            fill_sums(self.trained)
            return ClippingStats(losses.detach(), torch.zeros((), device=losses.device), 0)
        if not losses.requires_grad:
            raise ClippingError("the losses do not depend on any trained parameter; compute them with gradients on")
        with torch.autocast(losses.device.type, enabled=False):  # norms and sums are not taken in less than float32
            stats = self._add(losses)
        fill_sums(self.trained)
        return stats

    def summed_grads(self) -> dict[str, Tensor]:
        """Clipped sums by parameter name, over the micro-batches since they were last cleared."""
        fill_sums(self.trained)
        return {name: summed for name, value in self.trained.items() if (summed := get_sum(value)) is not None}

    def close(self) -> None:  # noqa: B027  # most engines leave nothing behind
        """Take off the model what the engine has put there; not to be used after that."""

    def _weigh(self, losses: Tensor, squares: Tensor) -> tuple[Tensor, ClippingStats]:
        """Losses [samples], squared norms [layers, samples] -> weights [layers, samples], zero where not finite."""
        norms = squares.sum(dim=0).sqrt()
        finite = losses.detach().isfinite() & norms.isfinite()
        weights = torch.where(finite, self.rule.weights(squares), 0)
        smaller = ((weights < 1).any(dim=0) & finite).sum()
        return weights, ClippingStats(norms, smaller, int((~finite).sum()))

    def _new_squares(self, losses: Tensor) -> Tensor:
        kind = torch.promote_types(losses.dtype, torch.float32)
        return torch.zeros(max(self._layer.values()) + 1, len(losses), device=losses.device, dtype=kind)

    @abstractmethod
    @contextmanager
    def _forward(self, samples: int) -> Iterator[None]:
        """Context for the forward pass."""

    @abstractmethod
    def _add(self, losses: Tensor) -> ClippingStats:
        """Add the clipped gradients; there is at least one sample."""
