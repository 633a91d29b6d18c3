"""Tokens one after another with a key-value cache; who picks the next one is somebody else.

Rows of a batch start together at the length of the shortest prompt; a longer prompt feeds its own next token instead
of the picked one until it ends. So nothing is padded on the left, and no position id or mask has to make up for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from harness.scorer.forward.engine import Engine
from harness.scorer.forward.positions import NeededPositions

Prompts = Sequence[tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Picked:
    """The next token of each row, whether its logits can be used, and whether it is the row's last; each [rows]."""

    token: torch.Tensor
    finite: torch.Tensor
    last: torch.Tensor | None = None
    """None: of no row."""


class Picker(Protocol):
    """Chooses tokens."""

    def pick(self, logits: torch.Tensor, writing: torch.Tensor, rows: torch.Tensor | None = None) -> Picked:
        """From float32 logits [rows, vocabulary]; what is picked for rows that are not `writing` counts for nothing.

        `rows` are those of the batch that are left; None: all of them.
        """
        ...


@dataclass(frozen=True, slots=True)
class Decoded:
    """Tokens that follow each prompt up to a stop token, [rows][new]; whether its logits were finite.

    `stopped`: whether a stop token ended the row. `padded`: tokens read for all rows, padding too.
    """

    tokens: list[list[int]]
    finite: list[bool]
    stopped: list[bool]
    padded: int


def decode(
    engine: Engine, head: NeededPositions, prompts: Prompts, size: int, picker: Picker, stops: torch.Tensor
) -> Decoded:
    """At most `size` tokens after each prompt, none of them in `stops`."""
    sizes = [len(prompt) for prompt in prompts]
    starts = torch.tensor(sizes, device=engine.device)
    shortest, longest = min(sizes), max(sizes)
    board = engine.padded([(*prompt, *([engine.pad] * size)) for prompt in prompts], engine.pad)
    open_rows = torch.ones_like(starts, dtype=torch.bool)
    finite = torch.ones_like(open_rows)
    stopped = torch.zeros_like(open_rows)
    lengths = torch.zeros_like(starts)
    cache: Any = None
    read = 0
    for at in range(shortest, longest + size):
        logits, cache = head.next_token(board[:, :at], read, cache)
        writing = open_rows & (at >= starts)
        picked = picker.pick(logits, writing)
        finite &= ~writing | picked.finite
        stopping = torch.isin(picked.token, stops)
        stopped |= writing & finite & stopping
        writing &= finite & ~stopping
        open_rows = writing | (open_rows & (at < starts))
        board[:, at] = torch.where(writing, picked.token, board[:, at])
        lengths += writing
        open_rows &= at < starts + size - 1
        if picked.last is not None:
            open_rows &= ~(writing & picked.last)
        read = at
        if not open_rows.any():
            break
    rows = zip(board.tolist(), sizes, lengths.tolist(), strict=True)
    tokens = [row[start : start + length] for row, start, length in rows]
    return Decoded(tokens, finite.tolist(), stopped.tolist(), len(prompts) * read)


def refuse(engine: Engine, prompt: Sequence[int], size: int) -> str | None:
    """Why the model cannot continue the prompt by `size` tokens."""
    if prompt and len(prompt) + size > engine.max_tokens:
        return (
            f"a prompt of {len(prompt)} and {size} new tokens are more than "
            f"the {engine.max_tokens} the model reads at once"
        )
    return engine.refuse(prompt)


def alike(prompts: Prompts, sizes: Sequence[int], indices: Sequence[int]) -> list[list[int]]:
    """Indices in groups that may share batches: as many new tokens, and prompts of near lengths.

    A prompt longer than the others by n tokens costs its batch n steps, a batch of its own as many as there are new
    tokens; groups end at half of that.
    """
    groups: list[list[int]] = []
    for index in sorted(indices, key=lambda index: (sizes[index], len(prompts[index]))):
        first = groups[-1][0] if groups else index
        longer = len(prompts[index]) - len(prompts[first])
        if groups and sizes[first] == sizes[index] and longer <= sizes[index] // 2:
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups


def stop_tokens(model: Any, tokenizer: Any) -> set[int]:
    """Every end-of-sequence token that the tokenizer, the config and the generation config name."""
    configs = (model.config, getattr(model, "generation_config", None), tokenizer)
    stops: set[int] = set()
    for config in configs:
        named = getattr(config, "eos_token_id", None)
        stops.update(named if isinstance(named, list) else [] if named is None else [named])
    return stops
