"""Book-keeping checked against autograd on the model at hand.

A layer's gradients are known only if its parameters act through its own call, once per sample. Models break that in
ways no list of classes can foresee (a weight read by a function elsewhere, a table looked up once for all samples), so
the first micro-batch is differentiated a second time, samples weighted differently, and every parameter compared.
"""

from __future__ import annotations

import torch
from torch import Tensor

from privacy.clipping.errors import ONE_SAMPLE, ClippingError
from privacy.clipping.recorder import Recorder

_TOLERANCE = {torch.float64: 1e-3, torch.float32: 1e-3}
_LOW_PRECISION = 0.1


def check_gradients(recorder: Recorder, losses: Tensor) -> bool:
    """Run the backward pass of `losses` [samples], and compare; False where not finite, so that nothing was compared.

    Raises ClippingError naming the parameters whose gradients differ.
    """
    parameters = list(recorder.trained.values())
    torch.autograd.grad(losses.sum(), parameters, retain_graph=True, allow_unused=True)
    recorder.finish()
    weights = torch.linspace(0.5, 1.5, len(losses), dtype=losses.dtype, device=losses.device)
    expected = torch.autograd.grad((losses * weights).sum(), parameters, allow_unused=True)
    if not all(bool(value.isfinite().all()) for value in expected if value is not None):
        return False
    overall = max((float(value.norm()) for value in expected if value is not None), default=0.0)
    wrong = []
    with torch.no_grad():
        for (name, parameter), reference in zip(recorder.trained.items(), expected, strict=True):
            found = recorder.gradients[id(parameter)].add_weighted(None, weights)
            if _differ(found, reference, overall):
                wrong.append(name)
    if wrong:
        raise ClippingError(
            f"the gradient of {', '.join(wrong[:3])}{' and others' if wrong[3:] else ''} does not come through its own "
            f"layer once per sample, so book-keeping would get it wrong; {ONE_SAMPLE}"
        )
    return True


def _differ(found: Tensor | None, reference: Tensor | None, overall: float) -> bool:
    if found is None or reference is None:
        known = found if reference is None else reference
        return known is not None and float(known.norm()) > 1e-6 * overall
    tolerance = _TOLERANCE.get(reference.dtype, _LOW_PRECISION)
    error = float((found - reference).norm())
    return error > tolerance * (float(reference.norm()) + 1e-3 * overall)
