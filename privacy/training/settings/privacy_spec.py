"""PrivacySpec: the guarantee asked of a training run, and how it is to be reached."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from harness.base.frozen import Frozen

_FEWEST_BANDS = 2
"""Noise over one step is independent."""


class PrivacySpec(Frozen):
    """Differential privacy by per-sample clipping and Gaussian noise (Abadi et al. 2016)."""

    epsilon: float | None = Field(default=None, gt=0, description="target; the noise is computed")
    noise_multiplier: float | None = Field(
        default=None, ge=0, description="noise over clipping norm, instead of epsilon"
    )
    total_epsilon: float | None = Field(
        default=None, gt=0, description="all trainings on the same records together, at most"
    )
    delta: float | Literal["auto"] = Field(default="auto", description="auto: 1 / (10 x privacy units)")
    accountant: Literal["prv", "pld", "rdp"] = Field(default="prv", description="whose upper bound is claimed")
    clipping: Literal["flat", "per-layer", "automatic", "adaptive"] = Field(default="flat", description="the rule")
    max_grad_norm: float = Field(default=0.1, gt=0, description="norm each record is clipped to")
    engine: Literal["book-keeping", "one-sample", "opacus-hooks", "opacus-ghost"] = Field(
        default="book-keeping", description="how per-sample gradients are clipped; all give the same sums"
    )
    sampling: Literal["poisson", "truncated-poisson", "balls-in-bins", "shuffle"] = Field(
        default="poisson",
        description="truncated-poisson: none above max_batch; balls-in-bins: each record once an epoch, anywhere; "
        "shuffle: fixed batches, an epsilon without amplification",
    )
    max_batch: int | None = Field(default=None, ge=1, description="most records of a step, with truncated-poisson")
    secure: bool = Field(
        default=False, description="noise and sampling from the operating system, without holes of rounding; slower"
    )
    noise: Literal["independent", "banded"] = Field(
        default="independent",
        description="banded: later steps take a part of it back; with sampling: poisson or shuffle",
    )
    bands: int | Literal["auto"] = Field(
        default="auto",
        description="steps that banded noise is correlated over; auto: those up to 16 that leave the least noise",
    )
    sharding: Literal["none", "state"] = Field(
        default="none", description="state: several processes share out sums, noise and the optimizer's state"
    )
    unit: str | None = Field(default=None, description="column naming whose records they are; default: each its own")
    max_per_unit: int | None = Field(default=None, ge=1, description="records a unit may have; default: the most found")
    other_labels: Literal["refuse", "drop"] = Field(
        default="refuse", description="records whose label is none of the class names; drop: they are not trained on"
    )
    save_every: int = Field(
        default=50, ge=1, description="noisy steps between two saved states; never more than a tenth of the run"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.epsilon is None) == (self.noise_multiplier is None):
            raise ValueError("give either epsilon, the target, or noise_multiplier")
        if self.delta != "auto" and not 0 < self.delta < 1:
            raise ValueError(f"delta is {self.delta}; it must lie between 0 and 1, or be auto")
        if self.max_per_unit is not None and self.unit is None:
            raise ValueError("max_per_unit needs unit, the column that names whose records they are")
        if (self.max_batch is not None) != (self.sampling == "truncated-poisson"):
            raise ValueError("max_batch and sampling: truncated-poisson go together; give both or neither")
        if self.sharding != "none" and self.max_batch is not None:
            raise ValueError(
                "sharding needs several processes, truncated-poisson is drawn by one; leave one of them out"
            )
        self._consistent_noise()
        return self

    def _consistent_noise(self) -> None:
        if self.bands != "auto" and self.bands < _FEWEST_BANDS:
            raise ValueError(f"bands is {self.bands}; give {_FEWEST_BANDS} or more steps, or auto")
        if self.noise == "independent":
            if self.bands != "auto":
                raise ValueError("bands belongs to noise: banded; add it or leave bands out")
            return
        if self.sampling not in ("poisson", "shuffle"):
            raise ValueError(f"noise: banded is not proven for {self.sampling}; take sampling: poisson or shuffle")
        if self.clipping == "adaptive":
            raise ValueError("noise: banded needs one clipping norm in all steps, which adaptive moves; choose another")
        if self.secure:
            raise ValueError("secure noise is independent, noise: banded is not; choose one of them")
