"""A language model taken apart into trunk (tokens to hidden states) and head (hidden states to logits).

The head is pointwise over positions, `head(trunk(x))[i] == head(trunk(x)[i])`, so the vocabulary-sized work is done at
the positions asked for only. To apply the head alone the model's own `forward` runs while the trunk stands aside and
answers with given states, so soft-capping, scaling and the rest stay the model's own. Whether the parts equal the whole
is checked on each checkpoint.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


class Trunk:
    """The part of `model` below its head. Not for two threads at once."""

    def __init__(self, model: Any, module: Any, output: type[Any]) -> None:
        self._model = model
        self._module = module
        self._output = output
        """What the module answers with; the head may read any of its fields."""

    def run(self, inputs: dict[str, Any]) -> Any:
        """The module's answer, with `last_hidden_state` [rows, tokens, hidden]."""
        return self._module(**inputs)

    def head(self, states: torch.Tensor) -> torch.Tensor:
        """Logits of last hidden states [positions, hidden]: float32 [positions, vocabulary]."""
        blank = torch.zeros((1, len(states)), dtype=torch.long, device=states.device)
        with self._answering(states[None]):
            logits: torch.Tensor = self._model(input_ids=blank).logits[0]
        return logits.float()

    @contextmanager
    def _answering(self, states: torch.Tensor) -> Iterator[None]:
        """Let the module answer any call with `states` [1, positions, hidden]."""
        own = self._module.__dict__.get("forward")  # accelerate's hooks live there
        answer = self._output(last_hidden_state=states)
        self._module.forward = lambda *_, **__: answer
        try:
            yield
        finally:
            if own is None:
                del self._module.forward
            else:
                self._module.forward = own


def find_trunk(model: Any, vocabulary: int) -> Trunk | None:
    """The trunk that with the head gives the numbers of the whole; None where the architecture has none."""
    base = model.base_model
    candidates = (base, base.decoder) if hasattr(base, "decoder") else (base,)  # OPT's head sits on the inner decoder
    return next((trunk for module in candidates if (trunk := _checked(model, module, vocabulary))), None)


def _checked(model: Any, module: Any, vocabulary: int) -> Trunk | None:
    """The module as trunk, if it passes on shuffled positions of random tokens."""
    ids = torch.randint(vocabulary, (2, 5), generator=torch.Generator().manual_seed(0)).to(model.device)
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    order = torch.tensor([7, 0, 9, 4], device=ids.device)
    try:
        with torch.inference_mode():
            whole = model(**inputs).logits.flatten(0, 1)[order].float()
            output = module(**inputs)
            trunk = Trunk(model, module, type(output))
            parts = trunk.head(output.last_hidden_state.flatten(0, 1)[order])
    except (AttributeError, TypeError, ValueError, RuntimeError, IndexError, KeyError):
        return None  # an architecture this was not made for is served whole
    return trunk if agree(parts, whole, model.dtype) else None


def agree(left: torch.Tensor, right: torch.Tensor, computed_in: torch.dtype) -> bool:
    """Same shape, and equal up to the rounding of the dtype they were computed in (not finite in the same places)."""
    if left.shape != right.shape:
        return False
    scale = max(1.0, float(right.nan_to_num(0.0, 0.0, 0.0).abs().max()))
    atol = scale * max(1e-5, 4 * torch.finfo(computed_in).eps)
    return torch.allclose(left, right, rtol=0.0, atol=atol, equal_nan=True)
