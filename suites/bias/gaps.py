"""How far class probabilities differ between versions of a text that differ in the group they mention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.api.scorer import Floats


@dataclass(frozen=True, slots=True)
class Gaps:
    """Over all pairs of versions of the same set: mean and largest distance, and the pair that is farthest apart."""

    mean: float
    largest: float
    farthest: tuple[int, int]


def total_variation(probabilities: Floats) -> Floats:
    """Half the summed |p - q| between all rows of [versions, classes]; for two classes that is |p(1) - q(1)|."""
    return np.asarray(np.abs(probabilities[:, None] - probabilities[None]).sum(axis=2) / 2)


def gaps(probabilities: Floats, sets: Sequence[str]) -> Gaps:
    """Gaps of the versions [versions, classes] whose set is `sets` [versions]; each set holds two or more.

    The mean is over sets of the mean over pairs within the set, so that every set counts the same.
    """
    distance = total_variation(probabilities)
    means, pairs = [], []
    for members in members_of(sets).values():
        mine = [(first, second) for k, first in enumerate(members) for second in members[k + 1 :]]
        means.append(np.mean([distance[pair] for pair in mine]))
        pairs += mine
    farthest = max(pairs, key=lambda pair: distance[pair])
    return Gaps(float(np.mean(means)), float(distance[farthest]), farthest)


def flips(predicted: Sequence[int], sets: Sequence[str]) -> bool:
    """Whether two versions of the same set are put into different classes."""
    return any(len({predicted[i] for i in members}) > 1 for members in members_of(sets).values())


def group_shifts(probability: Floats, sets: Sequence[str], groups: Sequence[str]) -> dict[str, float]:
    """For each group, the mean over its versions of p minus the mean p of the version's set; p is [versions]."""
    centre = np.empty(len(sets))
    for members in members_of(sets).values():
        centre[members] = probability[members].mean()
    shift = probability - centre
    return {name: float(shift[members].mean()) for name, members in members_of(groups).items()}


def members_of(names: Sequence[str]) -> Mapping[str, list[int]]:
    """Positions of each name, in order of appearance."""
    found: dict[str, list[int]] = {}
    for position, name in enumerate(names):
        found.setdefault(name, []).append(position)
    return found


@dataclass(frozen=True, slots=True)
class PairGap:
    """Two groups in one text, over the sets that have both: mean and largest distance, and whether any set flips."""

    mean: float
    largest: float
    flip: bool


def pair_gaps(
    probabilities: Floats, predicted: Sequence[int], sets: Sequence[str], groups: Sequence[str]
) -> dict[tuple[str, str], PairGap]:
    """For each pair of groups, by name in order, how far they are apart within sets."""
    distance = total_variation(probabilities)
    found: dict[tuple[str, str], list[tuple[float, bool]]] = {}
    for members in members_of(sets).values():
        for k, first in enumerate(members):
            for second in members[k + 1 :]:
                a, b = sorted((groups[first], groups[second]))
                pair = float(distance[first, second]), predicted[first] != predicted[second]
                found.setdefault((a, b), []).append(pair)
    return {
        pair: PairGap(float(np.mean([d for d, _ in seen])), max(d for d, _ in seen), any(flip for _, flip in seen))
        for pair, seen in found.items()
    }
