"""Book-keeping checked against autograd on the model at hand.

A layer's gradients are known only if its parameters act through its own call, once per sample. Models break that in
ways no list of classes can foresee (a weight read by a function elsewhere, a table looked up once for all samples), so
the first micro-batch is differentiated a second time, samples weighted differently, and every parameter compared.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from privacy.clipping.errors import ONE_SAMPLE, ClippingError
from privacy.clipping.recorder import Recorder

_LOW_PRECISION = 0.1
_TOLERANCE = {torch.float64: 1e-3, torch.float32: 1e-3}  # many models norm and attend in float32 whatever their weights


def check_gradients(recorder: Recorder, losses: Tensor) -> bool:
    """Run the backward pass of `losses` [samples] and compare; False where not finite, so that nothing was compared.

    Holds the activations until the end, but never the gradients of all parameters.
    Raises ClippingError naming the parameters whose gradients differ.
    """
    with _taking_gradients(recorder.trained, lambda name, gradient: None):
        torch.autograd.backward(losses.sum(), retain_graph=True)
    recorder.finish()
    weights = torch.linspace(0.5, 1.5, len(losses), dtype=losses.dtype, device=losses.device)
    compared: dict[str, _Compared] = {}

    def compare(name: str, gradient: Tensor | None) -> None:
        ours = recorder.gradients[id(recorder.trained[name])].add_weighted(None, weights)
        compared[name] = _Compared(ours, gradient)

    with _taking_gradients(recorder.trained, compare):
        torch.autograd.backward((losses * weights).sum())
    for name in recorder.trained.keys() - compared.keys():
        compare(name, None)
    return _judge(compared)


def _judge(compared: Mapping[str, _Compared]) -> bool:
    overall = max(one.norm for one in compared.values())
    if not all(math.isfinite(one.norm) for one in compared.values()):
        return False
    wrong = [name for name, one in compared.items() if not one.error <= one.tolerance * (one.norm + 1e-3 * overall)]
    if wrong:
        raise ClippingError(
            f"the gradient of {', '.join(wrong[:3])}{' and others' if wrong[3:] else ''} does not come through its own "
            f"layer once per sample, so book-keeping would get it wrong; {ONE_SAMPLE}"
        )
    return True


class _Compared:
    """How far a parameter's weighted sum is from autograd's gradient, of which None means none."""

    def __init__(self, ours: Tensor | None, reference: Tensor | None) -> None:
        known = ours if reference is None else reference
        self.norm = 0.0 if known is None else float(known.norm())
        self.tolerance = _LOW_PRECISION if known is None else _TOLERANCE.get(known.dtype, _LOW_PRECISION)
        self.error = self.norm if ours is None or reference is None else float((ours - reference).norm())


@contextmanager
def _taking_gradients(
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
