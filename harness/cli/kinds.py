"""What a YAML file is for, told by its keys."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from enum import StrEnum

from harness.errors import UsageError


class Kind(StrEnum):
    """What is written as YAML, by the command that reads it; of kinds that fit alike the first is meant."""

    AUDIT = "audit"
    POLICY = "policy"
    TRAIN = "train"
    HARDEN = "harden"


TELLING: Mapping[Kind, tuple[str, ...]] = {
    Kind.AUDIT: ("checkpoint", "probes"),
    Kind.POLICY: ("gates", "requires"),
    Kind.TRAIN: ("task", "base", "fresh"),
    Kind.HARDEN: ("train", "method", "recipe"),
}
"""Keys at the top of one kind of file and of no other."""


def kind_of(keys: Iterable[object], where: str) -> Kind:
    """The kind whose telling keys, misspelt ones counted half, are most. Raises UsageError where there are none."""
    names = [str(key) for key in keys]
    scores = {kind: sum(_likeness(name, telling) for name in names) for kind, telling in TELLING.items()}
    best = max(scores, key=lambda kind: scores[kind])
    if scores[best] == 0:
        raise UsageError(
            f"{where}: neither an audit spec (key checkpoint), a policy (gates), a training spec (task) nor a "
            f"hardening spec (train, recipe); its keys are {', '.join(names) or 'none'}"
        )
    return best


def _likeness(name: str, telling: tuple[str, ...]) -> float:
    if name in telling:
        return 1.0
    return 0.5 if difflib.get_close_matches(name, telling, 1, cutoff=0.75) else 0.0
