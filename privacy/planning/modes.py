"""What each mode would train, and how much of a step is signal."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from harness.errors import AssayError
from privacy.noise.banded import final_ratio
from privacy.training.data.load import TrainingData
from privacy.training.models.load import Whole
from privacy.training.models.modes import choose_trained
from privacy.training.private.guarantee import Guarantee, plan_guarantee
from privacy.training.settings.defaults import with_defaults
from privacy.training.settings.spec import MODES, Mode, TrainSpec


@dataclass(frozen=True, slots=True)
class ModeOutlook:
    """One mode under the settings that the spec gives, or that fill it up."""

    mode: Mode
    trained: int | None = None
    """Weights; None where the mode cannot be had."""
    batch: int = 0
    steps: int = 0
    noise_multiplier: float | None = None
    """None: without privacy, or no noise reaches the target."""
    bands: int | None = None
    """Steps that noise is correlated over; None: independent."""
    why_not: str = ""

    @property
    def signal(self) -> float | None:
        """Most that a step's signal can be over its noise, by their norms; None where there is no noise.

        Clipped sums are at most batch x clipping norm long, noise is noise multiplier x clipping norm x root of the
        weights: the ratio of Li et al. 2022 (arXiv 2110.05679, section 3), with every record at the clipping norm and
        all gradients along one line. What a training really has is less.
        """
        if not self.trained or not self.noise_multiplier:
            return None
        return self.batch / (self.noise_multiplier * math.sqrt(self.trained))

    @property
    def signal_of_all(self) -> float | None:
        """The same of the sum over all steps: independent noise adds up by its root, correlated noise by less."""
        if self.signal is None:
            return None
        left = final_ratio(self.bands, self.steps) if self.bands is not None else 1.0
        return self.signal * math.sqrt(self.steps) / left


def outlooks(spec: TrainSpec, data: TrainingData, counts: dict[Mode, int | str]) -> Iterator[ModeOutlook]:
    """Every mode of `spec` as its user gave it; `counts`: weights that it trains, or why there are none."""
    noises = _Noises(data)
    for mode in MODES:
        count = counts[mode]
        if isinstance(count, str):
            yield ModeOutlook(mode, why_not=count)
            continue
        settled = with_defaults(spec.with_mode(mode), len(data.members))
        steps = math.ceil(settled.epochs * len(data.members) / settled.batch_size)
        try:
            guarantee = noises.of(settled)
        except AssayError as error:
            yield ModeOutlook(mode, count, settled.batch_size, steps, why_not=str(error))
            continue
        if guarantee is None:
            yield ModeOutlook(mode, count, settled.batch_size, steps)
        else:
            noise = guarantee.noise_multiplier
            yield ModeOutlook(mode, count, settled.batch_size, guarantee.sampling.steps, noise, guarantee.bands)


def count_trained(spec: TrainSpec, whole: Whole) -> dict[Mode, int | str]:
    """Weights that each mode trains, or why the mode cannot be had. Call it before the model is under adapters.."""
    counts: dict[Mode, int | str] = {}
    for mode in MODES:
        try:
            wanted = spec.with_mode(mode)
            counts[mode] = _count(wanted, whole)
        except ValidationError as error:
            counts[mode] = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
        except AssayError as error:
            counts[mode] = str(error)
    _ask_all(whole.model)
    return counts


def trained_weights(model: Any) -> int:
    """Numbers that training changes."""
    return sum(value.numel() for value in model.parameters() if value.requires_grad)


def _count(spec: TrainSpec, whole: Whole) -> int:
    _ask_all(whole.model)
    chosen = choose_trained(whole.model, spec, whole.new, whole.frozen)
    found = trained_weights(chosen)
    if chosen is not whole.model:
        chosen.unload()  # of the adapters
    return found


def _ask_all(model: Any) -> None:
    for parameter in model.parameters():
        parameter.requires_grad_(True)


class _Noises:
    """The guarantee of each setting, computed once: calibration takes a second or more."""

    def __init__(self, data: TrainingData) -> None:
        self._data = data
        self._known: dict[tuple[int, int], Guarantee] = {}

    def of(self, spec: TrainSpec) -> Guarantee | None:
        """None without privacy. Raises UsageError where no noise reaches the target."""
        if spec.privacy is None:
            return None
        key = (spec.batch_size, spec.epochs)
        if key not in self._known:
            self._known[key] = plan_guarantee(spec, spec.privacy, self._data)
        return self._known[key]
