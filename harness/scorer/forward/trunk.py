"""A language model taken apart into trunk (tokens to hidden states) and head (hidden states to logits).

The head is pointwise over positions, `head(trunk(x))[i] == head(trunk(x)[i])`, so the vocabulary-sized work is done at
the positions asked for only. To apply the head alone the model's own `forward` runs on a copy that shares all weights
but whose trunk answers with given states, so soft-capping, scaling and the rest stay the model's own. Whether the parts
equal the whole is checked on each checkpoint.
"""

from __future__ import annotations

from copy import copy
from typing import Any

import torch


class Trunk:
    """The part of `model` below its head, at `path` in it; the model itself is left as it is."""

    def __init__(self, model: Any, path: str, output: type[Any]) -> None:
        self._model = model
        self._path = path.split(".")
        self._module = model.get_submodule(path)
        self._output = output
        """What the module answers with; the head may read any of its fields."""

    def run(self, inputs: dict[str, Any]) -> Any:
        """The module's answer, with `last_hidden_state` [rows, tokens, hidden]."""
        return self._module(**inputs)

    def head(self, states: torch.Tensor) -> torch.Tensor:
        """Logits of last hidden states [positions, hidden]: float32 [positions, vocabulary]."""
        blank = torch.zeros((1, len(states)), dtype=torch.long, device=states.device)
        logits: torch.Tensor = self._answering(states[None])(input_ids=blank).logits[0]
        return logits.float()

    def _answering(self, states: torch.Tensor) -> Any:
        """The model with a trunk that answers with `states` [1, positions, hidden]; only the path is copied."""
        answer = self._output(last_hidden_state=states)
        model = part = copy(self._model)
        for name in self._path:
            inner = copy(part._modules[name])
            part._modules = {**part._modules, name: inner}
            part = inner
        part.forward = lambda *_, **__: answer
        return model


def find_trunk(model: Any, vocabulary: int) -> Trunk | None:
    """The trunk that with the head gives the numbers of the whole; None where the architecture has none."""
    base = model.base_model
    candidates = (base, base.decoder) if hasattr(base, "decoder") else (base,)  # OPT's head sits on the inner decoder
    paths = [name for name, part in model.named_modules() if name and any(part is one for one in candidates)]
    return next((trunk for path in paths if (trunk := _checked(model, path, vocabulary))), None)


def _checked(model: Any, path: str, vocabulary: int) -> Trunk | None:
    """The module as trunk, if it passes on shuffled positions of random tokens."""
    ids = torch.randint(vocabulary, (2, 5), generator=torch.Generator().manual_seed(0)).to(model.device)
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    order = torch.tensor([7, 0, 9, 4], device=ids.device)
    try:
        with torch.inference_mode():
            whole = model(**inputs).logits.flatten(0, 1)[order].float()
            output = model.get_submodule(path)(**inputs)
            trunk = Trunk(model, path, type(output))
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
