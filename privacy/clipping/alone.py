"""Whether a record's loss and gradient are its own: the same alone as beside other records.

Clipping bounds what a record adds through its own gradient. It bounds nothing where a record also moves the gradients
of others: by the length they are padded to (convolutions and Fourier transforms see padding), by the room it takes
(routers, hashes), by what it leaves behind in the model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from privacy.clipping.check import Compared, taking_gradients

Losses = Callable[[nn.Module, Any], Tensor]
"""(model, micro-batch) -> losses [samples], in the precision of the weights."""

_LOSS = 2e-5
"""Difference of a loss allowed, relative to it and in nats. Over the architectures of transformers, and in BERT and
GPT-2 of 12 layers, rounding made at most 4e-7; padding has made 7e-6 (where gradients told) to 0.2."""
_GRADIENT = (2e-4, 0.1)
"""Error of a parameter's gradient allowed, relative to it and a tenth of the whole gradient, as noise is all there is
of a gradient that should be zero. Rounding made at most 7e-6, padding at least 1e-3."""
_MOVED, _MOVED_RELATIVE = 0.02, 0.1
"""Noise put on weights: as most architectures draw new ones, or a tenth of the root mean square of a parameter."""


def differs_alone(model: nn.Module, losses: Losses, singles: Sequence[Any], batch: Any | None) -> str | None:
    """What of the records depends on others ("the loss", "the gradient of NAME"); None where nothing does.

    With dropout off, in float32 at least, whatever precision training has, and with trained weights moved a little: a
    zero (the row of a padding token, an adapter) hides what the first noisy step would let in. Weights and gradients
    that `model` holds stay as they were.

    Args:
        model: in any mode, which is left as it was.
        losses: of a micro-batch, in full precision.
        singles: records, each alone.
        batch: the same records in the same order, together; None: what is asked is only what they leave behind.
    """
    found = None
    for training in (True, False):  # batch statistics are of training; chance that is no dropout is left out after it
        with _exactly(model, training=training), _moved(model):
            found = _left_behind(model, losses, singles)
            if found is None and batch is not None:
                found = _differs(model, losses, batch, singles)
            if found is None or not _is_random(model, losses, singles[-1]):
                return found
    return found


def _left_behind(model: nn.Module, losses: Losses, singles: Sequence[Any]) -> str | None:
    """Whether a record's loss depends on those before it, once each has been seen: what lasts may be switched by then.

    BigBird, for one, gives up its sparse attention for good at the first short batch.
    """
    with torch.no_grad():
        for single in singles:
            losses(model, single)
        before = [_seeded(model, losses, single) for single in singles]
        after = [_seeded(model, losses, single) for single in reversed(singles)]
    return _losses_differ(torch.cat(before), torch.cat(after[::-1]))


def _differs(model: nn.Module, losses: Losses, batch: Any, singles: Sequence[Any]) -> str | None:
    trained = {name: value for name, value in model.named_parameters() if value.requires_grad}
    total: dict[str, Tensor] = {}
    alone, norms = [], []
    for single in singles:
        loss = _seeded(model, losses, single)
        found = _gradients(trained, loss.sum())
        norm = _norm(found.values())
        if not math.isfinite(norm):
            return None  # such a record adds nothing in training either
        norms.append(norm or 1.0)
        alone.append(loss.detach())
        for name, value in found.items():  # each record weighs the same, or the largest would hide the others
            value /= norms[-1]
            total[name] = total[name].add_(value) if name in total else value
    together = _seeded(model, losses, batch)
    if (wrong := _losses_differ(torch.cat(alone), together.detach())) is not None:
        return wrong
    compared: dict[str, Compared] = {}

    def compare(name: str, gradient: Tensor | None) -> None:
        compared[name] = Compared.of(total.pop(name, None), gradient)

    weights = together.new_tensor(norms).reciprocal()
    with taking_gradients(trained, compare):
        torch.autograd.backward((together * weights).sum())
    for name in list(total):
        compare(name, None)
    return _gradients_differ(compared)


def _gradients_differ(compared: Mapping[str, Compared]) -> str | None:
    overall = max((one.norm for one in compared.values()), default=0.0)
    relative, noise = _GRADIENT
    for name, one in compared.items():
        if not one.error <= relative * (one.norm + noise * overall):  # also where it is no number
            return f"the gradient of {name}"
    return None


def _norm(gradients: Iterable[Tensor]) -> float:
    return math.sqrt(sum(float(value.double().square().sum()) for value in gradients))


def _losses_differ(before: Tensor, after: Tensor) -> str | None:
    same_kind = before.isfinite() == after.isfinite()
    gap = (before - after).abs() <= _LOSS * (1 + before.abs())
    return None if bool((same_kind & (gap | ~before.isfinite())).all()) else "the loss"


def _gradients(trained: Mapping[str, nn.Parameter], loss: Tensor) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}

    def keep(name: str, gradient: Tensor | None) -> None:
        if gradient is not None:
            found[name] = gradient

    with taking_gradients(trained, keep):
        torch.autograd.backward(loss)
    return found


def _seeded(model: nn.Module, losses: Losses, batch: Any, seed: int = 0) -> Tensor:
    torch.manual_seed(seed)
    return losses(model, batch)


def _is_random(model: nn.Module, losses: Losses, batch: Any) -> bool:
    """Whether there is chance in the losses still: then a difference tells nothing."""
    with torch.no_grad():
        return not torch.equal(_seeded(model, losses, batch), _seeded(model, losses, batch, seed=1))


@contextmanager
def _exactly(model: nn.Module, *, training: bool) -> Iterator[None]:
    """Without dropout, in full precision, chance and modes as they were afterwards."""
    device = next(model.parameters()).device
    modes = {module: module.training for module in model.modules()}
    precision = torch.get_float32_matmul_precision()
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng([device] if device.type == "cuda" else []))
        stack.callback(torch.set_float32_matmul_precision, precision)
        torch.set_float32_matmul_precision("highest")
        for module, mode in modes.items():
            stack.callback(setattr, module, "training", mode)
            module.training = training and "drop" not in type(module).__name__.lower()
            for name, chance in _chances(module):
                stack.callback(setattr, module, name, chance)
                setattr(module, name, 0.0)
        stack.enter_context(_NoDropout())
        stack.enter_context(torch.autocast(device.type, enabled=False))
        yield


def _chances(module: nn.Module) -> list[tuple[str, float]]:
    """Probabilities of dropout that a module holds: layers that run twice (gradient checkpointing) read them again.

    The second time is inside of the backward pass, where torch hands no calls to `_NoDropout`.
    """
    layer = "drop" in type(module).__name__.lower()
    return [
        (name, value)
        for name, value in vars(module).items()
        if isinstance(value, float) and ("drop" in name or (layer and name == "p"))
    ]


@contextmanager
def _moved(model: nn.Module) -> Iterator[None]:
    """Trained weights with noise on them."""
    before = {value: value.detach().clone() for value in model.parameters() if value.requires_grad}
    torch.manual_seed(0)
    try:
        with torch.no_grad():
            for value in before:
                size = max(_MOVED, _MOVED_RELATIVE * float(value.square().mean().sqrt()))
                value.add_(torch.randn_like(value), alpha=size)
        yield
    finally:
        with torch.no_grad():
            for value, kept in before.items():
                value.copy_(kept)


class _NoDropout(TorchFunctionMode):
    """Dropout that models call as a function."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """See TorchFunctionMode."""
        given = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        if "dropout" in name and args:
            return args[0]
        if "dropout_p" in given:  # of scaled dot-product attention
            given["dropout_p"] = 0.0
        return func(*args, **given)
