"""Logits at the needed positions only: the trunk runs on all tokens, the head on the few positions asked for.

A language-model head is pointwise over positions, so `head(trunk(x))[i] == head(trunk(x)[i])`. The trunk's last hidden
states are gathered first, and the model's own `forward` applies its own head (soft-capping, scaling and all) while the
trunk stands aside and answers with the gathered states. Nothing of an architecture is copied here; whether the split
equals the full forward pass is checked on each checkpoint, which otherwise takes the full pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers.modeling_outputs import BaseModelOutputWithPastAndCrossAttentions

from harness.scorer.api import Bools, Floats

CHUNK_BYTES = 2**25
"""Size of the float32 logits held at once, [positions, vocabulary]."""
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which logits of a padded batch: entry k is `token[k]` at `position[k]` of `row[k]`; all [entries]."""

    row: Ints
    position: Ints
    token: Ints


class NeededPositions:
    """Scores single tokens at single positions of a masked or causal language model. Not for two threads at once."""

    def __init__(self, model: Any, vocabulary: int) -> None:
        self._model = model
        self._chunk = max(1, CHUNK_BYTES // (4 * vocabulary))
        self._trunk = next((trunk for trunk in _trunks(model) if _splits(model, trunk, vocabulary)), None)

    @property
    def is_split(self) -> bool:
        """Whether the head runs on needed positions only; False where the architecture does not allow it."""
        return self._trunk is not None

    def score(self, inputs: dict[str, Any], wanted: Wanted) -> tuple[Floats, Bools]:
        """Natural-log probability of each wanted token, and whether it is the argmax there; both [entries].

        A log-probability is NaN or infinite where the logits are not finite.
        """
        width = int(inputs["input_ids"].shape[1])
        places, entry = np.unique(wanted.row * width + wanted.position, return_inverse=True)
        order = np.argsort(entry, kind="stable")
        cuts = np.searchsorted(entry[order], np.arange(0, len(places) + self._chunk, self._chunk))
        logprobs, greedy = [], []
        states = self._states(inputs, places)
        for number, logits in enumerate(self._logits(states)):
            mine = order[cuts[number] : cuts[number + 1]]
            at = torch.from_numpy(entry[mine] - number * self._chunk).to(logits.device)
            token = torch.from_numpy(wanted.token[mine]).to(logits.device)
            logprobs.append(logits[at, token] - logits.logsumexp(-1)[at])
            greedy.append(logits.argmax(-1)[at] == token)
        back = np.argsort(order, kind="stable")
        return (
            torch.cat(logprobs).cpu().numpy().astype(np.float64)[back],
            torch.cat(greedy).cpu().numpy()[back],
        )

    def next_token(self, ids: torch.Tensor, cache: Any) -> tuple[torch.Tensor, Any]:
        """Logits after the last of `ids` [rows, new tokens] given the key-value cache: float32 [rows, vocabulary], cache."""
        inputs = {"input_ids": ids, "past_key_values": cache, "use_cache": True}
        if self._trunk is None:
            output = self._model(**inputs)
            return output.logits[:, -1].float(), output.past_key_values
        output = self._trunk(**inputs)
        return self._head(output.last_hidden_state[:, -1]), output.past_key_values

    def _states(self, inputs: dict[str, Any], places: Ints) -> torch.Tensor:
        """Hidden states (logits where the model is not split) at flat `places` of the batch, [places, size]."""
        full = self._model(**inputs).logits if self._trunk is None else self._trunk(**inputs).last_hidden_state
        picked: torch.Tensor = full.flatten(0, 1)[torch.from_numpy(places).to(full.device)]
        return picked

    def _logits(self, states: torch.Tensor) -> Iterator[torch.Tensor]:
        """float32 logits of the states, [chunk, vocabulary] at a time."""
        for chunk in states.split(self._chunk):
            yield chunk.float() if self._trunk is None else self._head(chunk)

    def _head(self, states: torch.Tensor) -> torch.Tensor:
        return apply_head(self._model, self._trunk, states)


def apply_head(model: Any, trunk: Any, states: torch.Tensor) -> torch.Tensor:
    """The model's own head on last hidden states [positions, hidden]: float32 logits [positions, vocabulary]."""
    blank = torch.zeros((1, len(states)), dtype=torch.long, device=states.device)
    with _standing_in(trunk, states[None]):
        logits: torch.Tensor = model(input_ids=blank).logits[0]
    return logits.float()


@contextmanager
def _standing_in(trunk: Any, states: torch.Tensor) -> Iterator[None]:
    """Let the trunk answer any call with `states` [1, positions, hidden]."""
    own = trunk.__dict__.get("forward")  # accelerate's hooks live there
    output = BaseModelOutputWithPastAndCrossAttentions(last_hidden_state=states)
    trunk.forward = lambda *_, **__: output
    try:
        yield
    finally:
        if own is None:
            del trunk.forward
        else:
            trunk.forward = own


def base_of(model: Any) -> Any:
    """The model below its head (the model itself where it has none), also inside a PEFT wrapper."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    return getattr(inner, "base_model", inner)


def _trunks(model: Any) -> Iterator[Any]:
    """Modules that may be the trunk: the base model, or the decoder in it (OPT)."""
    base = base_of(model)
    yield base
    if hasattr(base, "decoder"):
        yield base.decoder


def _splits(model: Any, trunk: Any, vocabulary: int) -> bool:
    """Whether trunk then head, on shuffled positions, gives the logits of the full forward pass on random tokens."""
    ids = torch.randint(vocabulary, (2, 5), generator=torch.Generator().manual_seed(0)).to(model.device)
    mask = torch.ones_like(ids)
    order = torch.tensor([7, 0, 9, 4], device=ids.device)
    try:
        with torch.inference_mode():
            full = model(input_ids=ids, attention_mask=mask).logits.flatten(0, 1)[order].float()
            states = trunk(input_ids=ids, attention_mask=mask).last_hidden_state.flatten(0, 1)[order]
            split = apply_head(model, trunk, states)
    except (AttributeError, TypeError, ValueError, RuntimeError, IndexError, KeyError):
        return False  # an architecture this split was not made for: the full pass serves it
    return agree(split, full, model.dtype)


def agree(left: torch.Tensor, right: torch.Tensor, computed_in: torch.dtype) -> bool:
    """Same shape, and equal up to the rounding of the dtype they were computed in (not finite in the same places)."""
    if left.shape != right.shape:
        return False
    scale = max(1.0, float(right.nan_to_num(0.0, 0.0, 0.0).abs().max()))
    atol = scale * max(1e-5, 4 * torch.finfo(computed_in).eps)
    return torch.allclose(left, right, rtol=0.0, atol=atol, equal_nan=True)
