"""The grid: which epsilons, which modes, which seeds, and the training spec of each cell."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from harness.base.numbers import bound
from harness.base.validation import validated
from harness.errors import UsageError
from privacy.training.settings.privacy_spec import PrivacySpec
from privacy.training.settings.spec import MODES, Mode, TrainSpec

N = TypeVar("N", int, float)
_SAME = ("task", "data", "held_out", "label_names", "completions")
"""What the runs without privacy must share with the others."""
_MOST_SEEDS = 2**32


@dataclass(frozen=True, slots=True)
class Cell:
    """One checkpoint of the grid."""

    epsilon: float
    """Target; inf: without differential privacy."""
    seed: int
    spec: TrainSpec

    @property
    def name(self) -> str:
        """Name of its folder."""
        return self.spec.output.name


@dataclass(frozen=True, slots=True)
class Grid:
    """Every epsilon with every mode and seed; one mode without privacy, for all to be compared with."""

    output: Path
    epsilons: tuple[float, ...]
    """Largest first; inf: without differential privacy."""
    seeds: tuple[int, ...]
    cells: tuple[Cell, ...]
    """Seed by seed, so that a grid that was stopped has seen every epsilon."""
    settings: dict[str, Any]
    """JSON-able; equal for two grids that may share a folder: epsilon 1 and seed 0 stand for all."""

    @property
    def spec(self) -> TrainSpec:
        """Spec of the first cell; task, data and held-out records are the same in all."""
        return self.cells[0].spec


def cell_name(epsilon: float, seed: int, mode: Mode | None = None) -> str:
    """`eps8-seed0`; `epsinf-seed0` without privacy; `head-eps8-seed0` of a mode that is not the spec's own."""
    return f"{mode}-" * (mode is not None) + f"eps{bound(epsilon)}-seed{seed}"


def make_grid(
    spec: TrainSpec,
    epsilons: Sequence[float],
    seeds: Sequence[int],
    *,
    modes: Sequence[Mode] = (),
    plain: TrainSpec | None = None,
) -> Grid:
    """The grid of `spec`, whose output becomes the folder of all cells; its own seed and epsilon do not count.

    `plain` holds the settings of the runs without privacy where they differ (their best learning rate and batch size
    are others); its output and seed do not count. `modes`: those of the private runs, the spec's own where none is
    given; what the spec gives holds for each, and what it leaves open is filled in to suit it. The folders of the
    spec's own mode are named as without others, so that a grid can grow by modes. Raises UsageError for what makes no
    grid.
    """
    _check(spec, epsilons, seeds, plain)
    by_mode = _by_mode(spec, modes)
    ordered = tuple(sorted(epsilons, reverse=True))
    cells = tuple(
        Cell(epsilon, seed, _cell_spec(each, plain or spec, epsilon, seed, None if each is spec else each.mode))
        for seed in seeds
        for epsilon in ordered
        for each in (by_mode if math.isfinite(epsilon) else (spec,))
    )
    stand_ins = {"spec": 1.0, "plain": math.inf}
    settings = {part: _cell_spec(spec, plain or spec, epsilon, 0).canonical() for part, epsilon in stand_ins.items()}
    return Grid(spec.output, ordered, tuple(seeds), cells, settings)


def parse_modes(text: str) -> list[Mode]:
    """`head,lora` -> its modes. Raises UsageError naming what is none."""
    wanted = _parts(text)
    for part in wanted:
        if part not in MODES:
            raise UsageError(f"--modes: {part!r} is no mode; choose from {', '.join(MODES)}, separated by commas")
    return [mode for part in wanted for mode in MODES if mode == part]


def parse_epsilons(text: str) -> list[float]:
    """`8,3,1,inf` -> its numbers. Raises UsageError naming what is none."""
    return [_number(part, float, "--epsilons", "numbers above 0 and inf") for part in _parts(text)]


def parse_seeds(text: str) -> list[int]:
    """`0,1,2` -> its numbers. Raises UsageError naming what is none."""
    return parse_numbers(text, "--seeds")


def parse_numbers(text: str, option: str) -> list[int]:
    """Whole numbers of an option. Raises UsageError naming what is none."""
    return [_number(part, int, option, "whole numbers") for part in _parts(text)]


def differing(ours: dict[str, Any], theirs: dict[str, Any]) -> Iterator[str]:
    """Names of settings that differ, of two grids' `settings`."""
    for part, values in ours.items():
        others = theirs.get(part) or {}
        for key in {**values, **others}:
            if values.get(key) != others.get(key):
                yield key if part == "spec" else f"{part} {key}"


def _check(spec: TrainSpec, epsilons: Sequence[float], seeds: Sequence[int], plain: TrainSpec | None) -> None:
    for what, values in (("epsilon", epsilons), ("seed", seeds)):
        if not values:
            raise UsageError(f"no {what} is given; a frontier needs at least one, for example --{what}s 1")
        names = [bound(value) for value in values]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise UsageError(f"the {what} {twice} is given twice; give each {what} once")
    for epsilon in epsilons:
        if math.isnan(epsilon) or epsilon <= 0:
            raise UsageError(f"epsilon {bound(epsilon)}: must be above 0, or inf for training without privacy")
    for seed in seeds:
        if not 0 <= seed < _MOST_SEEDS:
            raise UsageError(f"seed {seed}: must be a whole number from 0 to {_MOST_SEEDS - 1}")
    if spec.held_out is None:
        raise UsageError("held_out is missing in the training spec; quality is measured on records never trained on")
    for key in _SAME if plain is not None else ():
        if getattr(plain, key) != getattr(spec, key):
            raise UsageError(f"{key} differs in the spec of the runs without privacy; only how they train may differ")


def _by_mode(spec: TrainSpec, modes: Sequence[Mode]) -> tuple[TrainSpec, ...]:
    """`spec` for each mode, and itself for its own."""
    twice = next((mode for mode in modes if modes.count(mode) > 1), None)
    if twice is not None:
        raise UsageError(f"the mode {twice} is given twice; give each mode once")
    found = []
    for mode in modes or (spec.mode,):
        try:
            found.append(spec if mode == spec.mode else spec.with_mode(mode))
        except ValidationError as error:
            why = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
            raise UsageError(f"--modes: {mode} does not go with this spec: {why}") from error
    return tuple(found)


def _cell_spec(spec: TrainSpec, plain: TrainSpec, epsilon: float, seed: int, mode: Mode | None = None) -> TrainSpec:
    own = {"seed": seed, "output": spec.output / cell_name(epsilon, seed, mode)}
    if math.isinf(epsilon):
        return validated(
            TrainSpec, {**plain.model_dump(exclude_unset=True), "privacy": None, **own}, "the runs without privacy"
        )
    return validated(
        TrainSpec,
        {**spec.model_dump(exclude_unset=True), "privacy": _privacy(spec, epsilon), **own},
        "the private runs",
    )


def _privacy(spec: TrainSpec, epsilon: float) -> dict[str, Any]:
    """The privacy section with another target."""
    given = spec.privacy.model_dump(exclude_unset=True) if spec.privacy else {}
    return PrivacySpec.model_validate({**given, "epsilon": epsilon, "noise_multiplier": None}).model_dump(
        exclude_unset=True
    )


def _parts(text: str) -> list[str]:
    return [part for part in (part.strip() for part in text.split(",")) if part]


def _number(part: str, kind: Callable[[str], N], option: str, wanted: str) -> N:
    try:
        return kind(part)
    except ValueError as error:
        raise UsageError(f"{option}: {part!r} is no number; give {wanted}, separated by commas") from error
