"""Log-probabilities at needed positions only: never logits of all positions, never a stored log-softmax."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from harness.api.scorer import Bools, Floats
from harness.scorer.forward.trunk import find_trunk

CHUNK_BYTES = 2**24
"""Size of the float32 logits held at once, [positions, vocabulary]."""
Ints = npt.NDArray[np.int64]
Columns = tuple[npt.NDArray[Any], ...]
"""Numbers of each entry, a column per number, all [entries]."""
Read = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], tuple[torch.Tensor, ...]]
"""float32 logits [places, vocabulary], the place of each entry, its token: a column per number, each [entries]."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which tokens of a padded batch: entry k is `token[k]` at `position[k]` of `row[k]`; all [entries]."""

    row: Ints
    position: Ints
    token: Ints


class NeededPositions:
    """Scores single tokens at single positions of a masked or causal language model."""

    def __init__(self, model: Any, vocabulary: int, *, chunk_bytes: int = CHUNK_BYTES) -> None:
        self._model = model
        self._chunk = max(1, chunk_bytes // (4 * vocabulary))
        self._trunk = find_trunk(model, vocabulary)

    @property
    def is_split(self) -> bool:
        """Whether the head runs on needed positions only; False where the architecture does not allow it."""
        return self._trunk is not None

    def score(self, inputs: dict[str, Any], wanted: Wanted) -> tuple[Floats, Bools]:
        """Natural-log probability of each wanted token, and whether it is the argmax there; both [entries].

        A log-probability is NaN or infinite where the logits are not finite.
        """
        logprobs, greedy = self.read(inputs, wanted, _scores)
        return logprobs.astype(np.float64), greedy

    def read(self, inputs: dict[str, Any], wanted: Wanted, read: Read) -> Columns:
        """What `read` makes of the logits of each wanted token, of at most `chunk_bytes` of them at a time."""
        width = int(inputs["input_ids"].shape[1])
        places, entry = np.unique(wanted.row * width + wanted.position, return_inverse=True)
        order = np.argsort(entry, kind="stable")
        cuts = np.searchsorted(entry[order], np.arange(0, len(places) + self._chunk, self._chunk))
        parts = []
        for number, logits in enumerate(self._logits(self._states(inputs, places))):
            mine = order[cuts[number] : cuts[number + 1]]
            at = torch.from_numpy(entry[mine] - number * self._chunk).to(logits.device)
            parts.append(read(logits, at, torch.from_numpy(wanted.token[mine]).to(logits.device)))
        back = np.argsort(order, kind="stable")
        columns = _to_host([torch.cat(column) for column in zip(*parts, strict=True)])
        return tuple(column[back] for column in columns)

    def next_token(self, ids: torch.Tensor, cached: int, cache: Any) -> tuple[torch.Tensor, Any]:
        """Logits after the last of `ids` [rows, tokens], float32 [rows, vocabulary], and the grown cache.

        The cache holds keys and values of the first `cached` tokens; nothing is padded.
        """
        inputs = {
            "input_ids": ids[:, cached:],
            "attention_mask": torch.ones_like(ids),
            "past_key_values": cache,
            "use_cache": True,
        }
        if self._trunk is None:
            output = self._model(**inputs)
            return output.logits[:, -1].float(), output.past_key_values
        output = self._trunk.run(inputs)
        return self._trunk.head(output.last_hidden_state[:, -1]), output.past_key_values

    def fill(self, inputs: dict[str, Any]) -> None:
        """Run the model for the cache in its inputs alone."""
        self._states(inputs, np.zeros(1, dtype=np.int64))

    def chunks(self, inputs: dict[str, Any], places: Ints) -> Iterator[torch.Tensor]:
        """float32 logits at flat `places` of the batch, [chunk, vocabulary] at a time, in the order of the places."""
        return self._logits(self._states(inputs, places))

    def at(self, inputs: dict[str, Any], places: Ints) -> torch.Tensor:
        """float32 logits at flat `places` of the batch, [places, vocabulary]: few of them, for all are held."""
        return torch.cat(list(self.chunks(inputs, places)))

    def next(self, inputs: dict[str, Any]) -> torch.Tensor:
        """float32 logits after the last token of each row, [rows, vocabulary]."""
        if self._trunk is None:
            return torch.as_tensor(self._model(**inputs).logits[:, -1]).float()
        return self._trunk.head(self._trunk.run(inputs).last_hidden_state[:, -1])

    def last(self, inputs: dict[str, Any], place: int = -1) -> torch.Tensor:
        """float32 logits at one place of the first row, [vocabulary]."""
        return self.at(inputs, np.array([place % int(inputs["input_ids"].shape[1])]))[0]

    def _states(self, inputs: dict[str, Any], places: Ints) -> torch.Tensor:
        """Hidden states (logits where the model is not split) at flat `places` of the batch, [places, size]."""
        every = self._model(**inputs).logits if self._trunk is None else self._trunk.run(inputs).last_hidden_state
        needed: torch.Tensor = every.flatten(0, 1)[torch.from_numpy(places).to(every.device)]
        return needed

    def _logits(self, states: torch.Tensor) -> Iterator[torch.Tensor]:
        """float32 logits of the states, [chunk, vocabulary] at a time."""
        for chunk in torch.split(states, self._chunk):
            yield chunk.float() if self._trunk is None else self._trunk.head(chunk)


def _scores(logits: torch.Tensor, at: torch.Tensor, token: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Log-probability of each token, and whether it is the argmax."""
    return logits[at, token] - logits.logsumexp(-1)[at], logits.argmax(-1)[at] == token


def _to_host(columns: Sequence[torch.Tensor]) -> list[Any]:
    """The columns as arrays. The device is waited for once for each kind and shape, not once a column."""
    alike: dict[tuple[Any, ...], list[int]] = {}
    for place, column in enumerate(columns):
        alike.setdefault((column.dtype, *column.shape), []).append(place)
    found: dict[int, Any] = {}
    for places in alike.values():
        held = torch.stack([columns[place] for place in places]).cpu().numpy()
        found.update(zip(places, held, strict=True))
    return [found[place] for place in range(len(columns))]
