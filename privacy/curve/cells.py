"""The cells of a curve: which sizes, which seeds, and the training spec of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.base.validation import validated
from harness.data.datasets import DataSource
from harness.errors import UsageError
from privacy.curve.subsets import check_sizes, file_of, halves
from privacy.training.data.completions import COLUMNS
from privacy.training.data.load import TrainingData, load_training_data
from privacy.training.settings.spec import TrainSpec

_MOST_SEEDS = 2**32


@dataclass(frozen=True, slots=True)
class Cell:
    """One model: trained on the first `size` records in the order of its seed."""

    size: int
    seed: int
    spec: TrainSpec

    @property
    def name(self) -> str:
        """Name of its folder."""
        return self.spec.output.name


@dataclass(frozen=True, slots=True)
class Curve:
    """Every size with every seed."""

    spec: TrainSpec
    """As given: its data are all records, its output the folder of the curve."""
    data: TrainingData
    sizes: tuple[int, ...]
    """Smallest first."""
    seeds: tuple[int, ...]
    cells: tuple[Cell, ...]
    """Seed by seed, so that a curve that was stopped has seen every size."""

    @property
    def output(self) -> Path:
        """Folder of all cells."""
        return self.spec.output

    @property
    def settings(self) -> dict[str, dict[str, Any]]:
        """JSON-able; equal for two curves that may share a folder, whatever their sizes and seeds."""
        return {"spec": self.spec.model_copy(update={"seed": 0}).canonical()}


def make_curve(spec: TrainSpec, sizes: Sequence[int], seeds: Sequence[int]) -> Curve:
    """The curve of `spec`, whose output becomes the folder of all cells; its own seed does not count.

    Without `sizes`: all records, half of them, and so on. Each cell's seed draws its records, and seeds its training.
    Raises UsageError for what makes no curve, DataError for its data.
    """
    _check(spec, sizes, seeds)
    data = load_training_data(spec)
    chosen = tuple(sorted(sizes)) or halves(data)
    check_sizes(chosen, data)
    cells = tuple(Cell(size, seed, _cell_spec(spec, data, size, seed)) for seed in seeds for size in chosen)
    return Curve(spec, data, chosen, tuple(seeds), cells)


def _check(spec: TrainSpec, sizes: Sequence[int], seeds: Sequence[int]) -> None:
    for what, values, start in (("size", sizes, 1), ("seed", seeds, 0)):
        for value in values:
            if values.count(value) > 1:
                raise UsageError(f"the {what} {value} is given twice; give each {what} once")
            if not start <= value < _MOST_SEEDS:
                raise UsageError(f"{what} {value}: must be a whole number from {start} to {_MOST_SEEDS - 1}")
    if not seeds:
        raise UsageError("no seed is given; a curve needs at least one, for example --seeds 0")
    if spec.held_out is None:
        raise UsageError("held_out is missing in the training spec; quality is measured on records never trained on")
    if spec.privacy is not None:
        raise UsageError(
            "privacy: a curve draws its records by their labels, which no claim covers; leave privacy out, or compare "
            "epsilons with assay frontier"
        )
    if spec.canaries is not None:
        raise UsageError("canaries: they would count among the records of every subset; leave them out")


def _cell_spec(spec: TrainSpec, data: TrainingData, size: int, seed: int) -> TrainSpec:
    # prompts and completions lie there under the names of the columns that they are read into
    columns = {} if spec.completions == "none" else {name: name for name in COLUMNS}
    own: dict[str, Any] = {
        "data": DataSource(source=str(file_of(spec.output, seed)), stop=size, columns=columns),
        "seed": seed,
        "output": spec.output / f"n{size}-seed{seed}",
    }
    if data.label_names:  # those of all records: a subset may not hold the numbers that tell what they count from
        own["label_names"] = data.label_names
    return validated(TrainSpec, {**spec.model_dump(exclude_unset=True), **own}, "the curve")
