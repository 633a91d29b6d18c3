"""Whether a saved state is one that this run can have left: every number a number, every tensor as the model has it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from privacy.ledger import LedgerError
from privacy.ledger.state import STATE_NAME, SavedState

_SQUARES = ("exp_avg_sq", "max_exp_avg_sq")
"""Means of squares, whose root is taken."""
_MOVES = ("lr", "params")
"""Of a group: the rate is set before each step, the parameters are compared by themselves."""


def check_fits(
    folder: Path,
    state: SavedState,
    averaged: Mapping[str, torch.Tensor],
    trained: Mapping[str, torch.Tensor],
    groups: Sequence[Sequence[str]],
    optimizer: Mapping[str, Any],
    clipping_norm: float | None,
) -> None:
    """Raise LedgerError, naming what is wrong, unless the state in `folder` can go on.

    Args:
        folder: of the unfinished run.
        state: its saved state; `tensors` holds the weights alone.
        averaged: the mean of the weights that it holds, by name.
        trained: weights of the model, by name.
        groups: names of the weights in each group of the optimizer.
        optimizer: state of the optimizer as it was made, before it takes up anything.
        clipping_norm: of the spec; None where it moves with the steps.
    """
    faults = (
        *_misfits("the weight", state.tensors, trained, whole=True),
        *_misfits("the mean of the weight", averaged, trained, whole=False),
        *_optimizer_misfits(state.optimizer_state, trained, groups, optimizer),
        *_progress_misfits(state, clipping_norm),
    )
    if faults:
        raise LedgerError(
            f"{folder / STATE_NAME}: {faults[0]}, which no run leaves behind; put an untouched copy back, or move the "
            "run aside with --replace and count it as spent"
        )


def _misfits(
    what: str, held: Mapping[str, torch.Tensor], trained: Mapping[str, torch.Tensor], *, whole: bool
) -> Iterator[str]:
    for name in sorted(held.keys() - trained.keys()):
        yield f"{what} {name} is none that this run trains"
    for name, value in trained.items():
        if name in held:
            yield from _misfit(f"{what} {name}", held[name], value)
        elif whole or held:
            yield f"{what} {name} is missing"


def _misfit(what: str, held: torch.Tensor, like: torch.Tensor) -> Iterator[str]:
    if held.shape != like.shape or held.dtype != like.dtype:
        yield f"{what} is {_kind(held)}, not {_kind(like)}"
    elif not bool(held.isfinite().all()):
        yield f"{what} holds what is no number"


def _kind(value: torch.Tensor) -> str:
    return f"{str(value.dtype).removeprefix('torch.')} of shape {list(value.shape)}"


def _optimizer_misfits(
    state: Mapping[str, Any],
    trained: Mapping[str, torch.Tensor],
    groups: Sequence[Sequence[str]],
    made: Mapping[str, Any],
) -> Iterator[str]:
    names = [name for group in groups for name in group]
    numbers = iter(range(len(names)))
    if not _is_state(state, [list(islice(numbers, len(group))) for group in groups]):
        yield "the optimizer's groups are not those of this run"
        return
    for theirs, ours in zip(state["param_groups"], made["param_groups"], strict=True):
        for key in sorted((theirs.keys() & ours.keys()) - set(_MOVES)):
            if theirs[key] != ours[key]:
                yield f"the optimizer's {key} is {theirs[key]!s:.40}, not {ours[key]!s:.40}"
    for place, kept in state["state"].items():
        if place not in range(len(names)):
            yield "the optimizer's state is of weights that this run does not train"
            return
        for key, value in kept.items():
            yield from _entry_misfits(f"the optimizer's {key} of {names[place]}", key, value, trained[names[place]])


def _is_state(state: Any, places: list[list[int]]) -> bool:
    found = (state.get("param_groups"), state.get("state")) if isinstance(state, dict) else (None, None)
    return (
        isinstance(found[0], list)
        and all(isinstance(group, dict) for group in found[0])
        and [group.get("params") for group in found[0]] == places
        and isinstance(found[1], dict)
        and all(isinstance(kept, dict) for kept in found[1].values())
    )


def _entry_misfits(what: str, key: str, value: Any, weight: torch.Tensor) -> Iterator[str]:
    """Of one entry: a tensor as large as its weight, or one number for all of it."""
    if isinstance(value, torch.Tensor) and key != "step":
        yield from _misfit(what, value, weight)
        if key in _SQUARES and bool((value < 0).any()):
            yield f"{what} is negative"
    elif value is not None and (not isinstance(value, torch.Tensor | int | float) or not _counts(float(value))):
        yield f"{what} is no number of steps"


def _counts(value: float) -> bool:
    return math.isfinite(value) and value >= 0


def _progress_misfits(state: SavedState, clipping_norm: float | None) -> Iterator[str]:
    norm, steps, seen = (state.extra.get(key) for key in ("max_grad_norm", "steps", "averaged"))
    if not isinstance(norm, float | int) or not math.isfinite(norm) or norm <= 0:
        yield f"the clipping norm is {norm!s:.40}"
    elif clipping_norm is not None and norm != clipping_norm:
        yield f"the clipping norm is {norm:g}, not {clipping_norm:g}"
    if not isinstance(steps, list) or len(steps) != state.step:
        yield f"it does not tell of each of the {state.step} steps whose result it holds"
    if seen is not None and (not isinstance(seen, int) or not 0 <= seen <= state.step):
        yield f"the mean of the weights counts {seen!s:.40} steps of {state.step}"
