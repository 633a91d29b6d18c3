"""Book-keeping checked against autograd on the model at hand.

A layer's gradients are known only if its parameters act through its own call, once per sample. Models break that in
ways no list of classes can foresee (a weight read by a function elsewhere, a table looked up once for all samples), so
the first micro-batch is differentiated a second time, samples weighted differently, and every parameter compared.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from privacy.clipping.errors import ONE_SAMPLE, ClippingError
from privacy.clipping.precision import rounds_products
from privacy.clipping.recorder import Recorder

_EXACT = (1e-3, 1e-3)  # in float64 too: many models norm and attend in float32 whatever their weights
_LOW = (0.1, 0.02)
"""Error allowed, relative to a parameter's gradient plus so much of the whole gradient: the second is rounding noise,
and all there is of a gradient that should be zero, as that of an attention key's bias, which the softmax cancels."""


def check_gradients(recorder: Recorder, losses: Tensor) -> bool:
    """Run the backward pass of `losses` [samples] and compare; False where not finite: then nothing was compared.

    Holds the activations until the end, but never the gradients of all parameters.
    Raises ClippingError naming the parameters whose gradients differ.
    """
    torch.autograd.grad(losses.sum(), recorder.edges, retain_graph=True, allow_unused=True)  # none of parameters
    recorder.finish()
    weights = torch.linspace(0.5, 1.5, len(losses), dtype=losses.dtype, device=losses.device)
    compared: dict[str, Compared] = {}

    def compare(name: str, gradient: Tensor | None) -> None:
        ours = recorder.gradients[id(recorder.trained[name])].add_weighted(None, weights)
        compared[name] = Compared.of(ours, gradient)

    with taking_gradients(recorder.trained, compare):
        torch.autograd.backward((losses * weights).sum())
    for name in recorder.trained.keys() - compared.keys():
        compare(name, None)
    wrong = wrong_gradients(compared, low_precision=recorder.low_precision or rounds_products())
    if wrong:
        raise ClippingError(
            f"the gradient of {', '.join(wrong[:3])}{' and others' if wrong[3:] else ''} does not come through its own "
            f"layer once per sample, so book-keeping would get it wrong; {ONE_SAMPLE}"
        )
    return wrong is not None


def wrong_gradients(compared: Mapping[str, Compared], *, low_precision: bool) -> list[str] | None:
    """Names of the parameters whose gradients differ by more than rounding; None where any is not finite."""
    if not all(math.isfinite(one.norm) for one in compared.values()):
        return None
    overall = max(one.norm for one in compared.values())
    relative, noise = _LOW if low_precision else _EXACT
    return [name for name, one in compared.items() if not one.error <= relative * (one.norm + noise * overall)]


@dataclass(frozen=True, slots=True)
class Compared:
    """How far a gradient is from autograd's."""

    norm: float
    error: float

    @classmethod
    def of(cls, ours: Tensor | None, reference: Tensor | None) -> Compared:
        """Compare two gradients, of which None means none; changes `ours`, which spares a copy."""
        known = ours if reference is None else reference
        norm = 0.0 if known is None else float(known.norm())
        return cls(norm, norm if ours is None or reference is None else float(ours.sub_(reference).norm()))


@contextmanager
def taking_gradients(
    parameters: Mapping[str, nn.Parameter], take: Callable[[str, Tensor | None], None]
) -> Iterator[None]:
    """Hand each parameter's gradient to `take` as it comes, and let it go; `grad` is left as it was."""
    before = {name: value.grad for name, value in parameters.items()}
    names = {id(value): name for name, value in parameters.items()}

    def hand_over(parameter: Tensor) -> None:
        gradient, parameter.grad = parameter.grad, None
        take(names[id(parameter)], gradient)

    handles = []
    for value in parameters.values():
        value.grad = None
        handles.append(value.register_post_accumulate_grad_hook(hand_over))  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        for name, value in parameters.items():
            value.grad = before[name]
