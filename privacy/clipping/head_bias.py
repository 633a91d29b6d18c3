"""A vocabulary head's bias that is registered on the head and not on its decoder.

Such a bias is added to what the decoder gives (ESM, LXMERT), so that its gradient is that of the decoder's output,
summed over positions; or it is left over beside the decoder's own (untied heads under transformers 5) and has none.
Which of the two shows in each backward pass: whether a gradient reaches the bias. The check of the first batch finds
other uses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from privacy.clipping.factors import sum_positions
from privacy.clipping.tap import Receive


@dataclass(frozen=True, slots=True)
class HeadBias:
    """A trained bias, the module it is registered on, and the decoder whose output it may be added to."""

    value: nn.Parameter
    head: nn.Module
    decoder: nn.Linear


def head_biases(model: nn.Module) -> list[HeadBias]:
    """Biases of modules beside one linear layer of as many outputs, not shared with that layer."""
    return [found for module in model.modules() if (found := _head_bias(module)) is not None]


def _head_bias(module: nn.Module) -> HeadBias | None:
    bias = dict(module.named_parameters(recurse=False)).get("bias")
    if bias is None or bias.ndim != 1 or not bias.requires_grad:
        return None
    decoders = [child for child in module.children() if type(child) is nn.Linear and child.out_features == len(bias)]
    if len(decoders) != 1 or decoders[0].bias is bias:
        return None
    return HeadBias(bias, module, decoders[0])


def record_head_bias(
    found: HeadBias, samples: int, add: Callable[[Tensor], None], tap: Callable[[Tensor, Receive], Tensor]
) -> Callable[[], None]:
    """Have `add` called with the bias's per-sample gradients [samples, outputs], if it has any.

    Returns what undoes that. The bias must need a gradient by now, or not, as the backward pass shall find it; `tap` is
    as in privacy.clipping.tap.
    """
    waiting: list[Tensor] = []
    used: list[bool] = []

    def hand_over() -> None:
        while used and waiting:
            add(waiting.pop())

    def receive(grad: Tensor) -> None:
        waiting.append(sum_positions(grad.detach().reshape(samples, -1, grad.shape[-1])))
        hand_over()

    def receive_bias(_: Tensor) -> None:
        used.append(True)
        hand_over()

    handle = found.decoder.register_forward_hook(lambda _, __, output: tap(output, receive))
    vars(found.head)["bias"] = tap(found.value.view_as(found.value), receive_bias)  # an attribute hides the parameter

    def undo() -> None:
        handle.remove()
        del vars(found.head)["bias"]

    return undo
