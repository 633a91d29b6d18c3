"""The state of an optimizer of pieces as that of an optimizer of whole weights: what is saved knows no processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import torch

from privacy.training.private.sharding.partition import Piece

PER_NUMBER = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer")
"""What AdamW and SGD keep for each number; all else they keep is one for a tensor."""


def whole_state(
    param_groups: Sequence[Mapping[str, Any]],
    groups: Sequence[Sequence[str]],
    kept: Mapping[str, Any],
    numbers: Mapping[str, Mapping[str, torch.Tensor]],
) -> dict[str, Any]:
    """As `Optimizer.state_dict` of whole weights.

    Args:
        param_groups: of the optimizer of pieces.
        groups: names of the weights in each group.
        kept: the state of any piece; empty before the first step.
        numbers: by key of PER_NUMBER and name, as large as the weights.
    """
    places = _places(groups)
    shared = {key: value for key, value in kept.items() if key not in PER_NUMBER}
    return {
        "state": {
            place: {**shared, **{key: whole[name] for key, whole in numbers.items() if name in whole}}
            for name, place in places.items()
            if kept
        },
        "param_groups": [
            {**group, "params": [places[name] for name in names]}
            for group, names in zip(param_groups, groups, strict=True)
        ],
    }


def part_of_state(
    state: Mapping[str, Any], groups: Sequence[Sequence[str]], mine: Mapping[str, Piece]
) -> dict[str, Any]:
    """Of a `state` of whole weights that of the pieces in `mine`, in copies; `groups` as above."""
    owned = [[name for name in names if name in mine] for names in groups]
    before, now = _places(groups), _places(owned)
    return {
        "state": {
            place: {
                key: (mine[name].of(value) if key in PER_NUMBER else value).clone()
                for key, value in state["state"][before[name]].items()
            }
            for name, place in now.items()
            if before[name] in state["state"]
        },
        "param_groups": [
            {**group, "params": [now[name] for name in names]}
            for group, names in zip(state["param_groups"], owned, strict=True)
        ],
    }


def _places(groups: Sequence[Sequence[str]]) -> dict[str, int]:
    return {name: place for place, name in enumerate(chain.from_iterable(groups))}
