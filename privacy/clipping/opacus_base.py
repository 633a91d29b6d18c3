"""What Opacus' two modes share as clipping engines: when its hooks listen, and what is checked of what they find."""

from __future__ import annotations

import traceback
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from privacy.clipping.check import Compared, wrong_gradients
from privacy.clipping.engine import ClippingEngine, ClippingStats
from privacy.clipping.errors import ClippingError
from privacy.clipping.rules import Clipping, ClippingRule

INSTEAD = "use the book-keeping engine"
FAILURES = (AttributeError, IndexError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError)
"""What Opacus raises on models that it was not made for."""

_CHECKED = 2
"""Samples of the first micro-batch whose norms are compared with autograd's."""


class OpacusEngine(ClippingEngine):
    """Norms as Opacus computes them; weights, sums and their place are those of all engines.

    Opacus needs, and gets, ids of an embedding for every sample (position ids come once for all of them, its issue
    841) in memory of their own, and layers in training mode. A layer that it overlooks or gets wrong is refused.
    """

    mode: str
    rules: tuple[Clipping, ...]

    def __init__(self, model: nn.Module, *, max_grad_norm: float, clipping: Clipping | ClippingRule = "flat") -> None:
        """See ClippingEngine; raises ClippingError also for what this mode of Opacus cannot do."""
        if clipping not in self.rules:
            given = clipping if isinstance(clipping, str) else type(clipping).__name__
            rules = " or ".join(self.rules)
            raise ClippingError(f"Opacus' {self.mode} mode is used with {rules} clipping, not {given}; {INSTEAD}")
        super().__init__(model, max_grad_norm=max_grad_norm, clipping=clipping)
        if hasattr(model, "autograd_grad_sample_hooks"):
            raise ClippingError("the model has Opacus' hooks already; call close() of the engine that set them")
        self._refuse(model)
        try:
            self._opacus: Any = self._attach(model)
        except FAILURES as error:
            raise self._failed(error) from error
        self._opacus.disable_hooks()
        self._trains = [
            module
            for module in model.modules()
            if any(value.requires_grad for value in module.parameters(recurse=False))
        ]
        self._checked = False
        self._low_precision = False
        self._broken: Tensor | None = None
        """Samples [samples] whose gradients are kept from the parameters, in a second backward pass."""

    def close(self) -> None:
        """See ClippingEngine: Opacus' hooks."""
        self._opacus.cleanup()

    @contextmanager
    def _forward(self, samples: int) -> Iterator[None]:
        self._forget()
        self._low_precision = False
        if not samples:
            yield
            return
        with ExitStack() as stack:
            for module in self._trains:
                stack.callback(setattr, module, "training", module.training)
                module.training = True  # of this module alone: no child's dropout is turned on
                stack.callback(module.register_forward_hook(self._watch).remove)
                if isinstance(module, nn.Embedding):
                    stack.callback(module.register_forward_pre_hook(_for_each(samples)).remove)
            self._opacus.enable_hooks()
            stack.callback(self._opacus.disable_hooks)
            try:
                yield
            except FAILURES as error:
                if _raised_by_opacus(error):
                    raise self._failed(error) from error
                raise

    def _watch(self, module: nn.Module, args: object, output: object) -> None:
        """Forward hook of a trained module."""
        if isinstance(output, Tensor) and output.requires_grad:
            self._low_precision |= output.dtype.itemsize < torch.float32.itemsize
            output.register_hook(self._without_broken)  # type: ignore[no-untyped-call]  # torch has no type for it

    def _without_broken(self, grad: Tensor) -> Tensor:
        if self._broken is None or len(grad) != len(self._broken):
            return grad
        return grad.masked_fill(self._broken.view(-1, *[1] * (grad.ndim - 1)), 0)

    def _add(self, losses: Tensor) -> ClippingStats:
        before = {name: value.grad for name, value in self.trained.items()}
        usable = torch.where(losses.isfinite(), losses, 0)
        try:
            self._clear_grads()
            squares = self._new_squares(losses)
            for name, norms in self._norms(usable).items():
                squares[self._layer[name]] += norms.to(squares.dtype).square()
            if not self._checked:
                self._check(usable, squares)
            weights, stats = self._weigh(losses, squares)
            self._sum(usable, weights, (weights != 0).all(dim=0))
            return stats
        finally:
            for name, value in self.trained.items():
                value.grad = before[name]
            self._broken = None
            self._forget()

    def _norms(self, losses: Tensor) -> dict[str, Tensor]:
        """Norms [samples] by parameter, without those that have no gradient."""
        self._opacus.enable_hooks()
        try:
            torch.autograd.backward(losses.sum(), retain_graph=not self._checked or self._goes_back_twice)
        except torch.OutOfMemoryError:
            raise
        except FAILURES as error:
            raise self._failed(error) from error
        finally:
            self._opacus.disable_hooks()
        found = {name: norms for name, value in self.trained.items() if (norms := self._norm(value)) is not None}
        for name, value in self.trained.items():
            if value.grad is not None and name not in found:
                raise ClippingError(f"Opacus' {self.mode} mode overlooks the gradient of {name!r}; {INSTEAD}")
            if name in found and len(found[name]) != len(losses):
                raise ClippingError(
                    f"Opacus' {self.mode} mode takes {name!r} to have {len(found[name])} samples, not {len(losses)}; "
                    f"{INSTEAD}"
                )
        return found

    def _check(self, losses: Tensor, squares: Tensor) -> None:
        """Compare with autograd of single samples. Raises ClippingError naming layers whose norms differ."""
        wrong: dict[str, None] = {}
        for place in range(min(_CHECKED, len(losses))):
            names = self._wrong_norms(losses[place], squares[:, place])
            if names is None:
                return
            wrong.update(dict.fromkeys(names))
        if wrong:
            some = ", ".join(repr(name) for name in list(wrong)[:3])
            more = " and others" if len(wrong) > 3 else ""
            raise ClippingError(f"Opacus' {self.mode} mode gets the norm of {some}{more} wrong; {INSTEAD}")
        self._checked = True

    def _wrong_norms(self, loss: Tensor, squares: Tensor) -> list[str] | None:
        grads = torch.autograd.grad(loss, list(self.trained.values()), retain_graph=True, allow_unused=True)
        exact = torch.zeros_like(squares)
        for layer, grad in zip(self._layer.values(), grads, strict=True):
            if grad is not None:
                exact[layer] += grad.to(exact.dtype).square().sum()
        compared = {}
        for name, layer in self._layer.items():
            norm = float(exact[layer].sqrt())
            compared[name.rpartition(".")[0]] = Compared(norm, abs(norm - float(squares[layer].sqrt())))
        return wrong_gradients(compared, low_precision=self._low_precision)

    def _clear_grads(self) -> None:
        for value in self.trained.values():
            value.grad = None

    def _forget(self) -> None:
        """Drop what Opacus keeps on parameters and modules between its passes."""
        for value in self.trained.values():
            for name in ("_current_grad_sample", "_norm_sample"):
                vars(value).pop(name, None)
            vars(value).update(grad_sample=None, _forward_counter=0)
        for module in self._trains:
            for name in ("activations", "max_batch_len"):
                vars(module).pop(name, None)

    def _failed(self, error: Exception) -> ClippingError:
        text = " ".join(str(error).split())
        return ClippingError(f"Opacus' {self.mode} mode fails on this model ({text[:200]}); {INSTEAD}")

    @property
    @abstractmethod
    def _goes_back_twice(self) -> bool:
        """Whether sums take a backward pass of their own."""

    @abstractmethod
    def _refuse(self, model: nn.Module) -> None:
        """Raise ClippingError for models that this mode gets wrong."""

    @abstractmethod
    def _attach(self, model: nn.Module) -> Any:
        """Opacus' wrapper of `model`, whose hooks are then on the model's own modules."""

    @abstractmethod
    def _norm(self, parameter: nn.Parameter) -> Tensor | None:
        """What Opacus found: norms [samples]; None where nothing."""

    @abstractmethod
    def _sum(self, losses: Tensor, weights: Tensor, usable: Tensor) -> None:
        """Add the clipped gradients; weights [layers, samples] are zero where `usable` [samples] is not."""


def _raised_by_opacus(error: Exception) -> bool:
    """Whether it comes from Opacus' hooks, and not from the model or its loss."""
    raised = [frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__)]
    return any(str(name).startswith("opacus.") for name in raised)


def _for_each(samples: int) -> Callable[[nn.Module, tuple[Any, ...]], tuple[Any, ...]]:
    def expand(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        ids, *others = args
        if len(ids) == 1:
            ids = ids.expand(samples, *ids.shape[1:])
        return (ids.contiguous(), *others)

    return expand
