"""HardenSpec: which training is hardened, against which attack, and how. Paths are relative to the working folder.

Augmentation adds adversarial texts once, to a finished training that then goes on. A2T (Yoo & Qi 2021,
arXiv:2109.00544, algorithm 1) attacks the model anew before each adversarial epoch, after some clean ones. Otherwise
than there, `share` counts the texts attacked (there those that succeeded), the optimizer and its schedule start anew
with each round, and any recipe can attack.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from harness.base.frozen import Frozen
from harness.base.validation import read_yaml, validated
from privacy.training import TrainSpec
from privacy.training.settings.options import load_train_spec
from suites.adversarial.attacks.params import AttackParams
from suites.adversarial.recipes import Recipe, find_recipe

_NO_BEARING = frozenset({"output", "audit", "control", "concurrent", "workers"})
"""Settings that change nothing of the hardened checkpoint."""
_PRIVATE = (
    "train.privacy: a private training cannot be hardened: adversarial texts are made from the private records by "
    "asking the model about them, which the privacy ledger does not count, so the claimed epsilon would be false; "
    "leave privacy out, or release the checkpoint without hardening"
)


class HardenSpec(Frozen):
    """One hardening."""

    train: TrainSpec = Field(description="training of the classifier, inline or the path of a training spec")
    method: Literal["augment", "a2t"] = Field(
        description="augment: attack once after the training, then go on; a2t: attack anew before each round"
    )
    recipe: str = Field(description="attack on the training texts: a recipe, e.g. deepwordbug or a2t")
    share: float = Field(default=0.2, gt=0, le=1, description="share of the training texts attacked in each round")
    warm: int | None = Field(default=None, ge=1, description="a2t: clean epochs before the first attack; default 1")
    rounds: int | None = Field(default=None, ge=1, description="a2t: rounds of attack; default train.epochs - warm")
    epochs: int = Field(default=1, ge=1, description="passes over clean and adversarial texts in each round")
    weight: int = Field(
        default=1, ge=1, description="how often each adversarial text is seen per pass (alpha in the paper)"
    )
    learning_rate: float | None = Field(default=None, gt=0, description="peak in each round; default: as in train")
    query_budget: int | None = Field(default=None, ge=1, description="most queries per text; None as the recipe says")
    seconds: float | None = Field(default=None, gt=0, description="most seconds per text; longer ones are errors")
    max_words: int | None = Field(default=None, ge=1, description="attack (and add) only the first words; None all")
    concurrent: int = Field(default=64, ge=1, description="texts attacked at once; changes no text")
    workers: int = Field(default=0, ge=0, description="processes that search; 0 in the model's own; changes no text")
    control: bool = Field(
        default=True,
        description="also make as many passes over clean texts alone, to tell the attack from more training",
    )
    audit: dict[str, Any] | None = Field(
        default=None,
        description="audit spec (or its path) for all checkpoints, whose checkpoint, name and output are set here; "
        "default: quality/classification and the attack on train.held_out",
    )
    seed: int = Field(default=0, ge=0, lt=2**31, description="seed of which texts are attacked, and of the attacks")
    output: Path = Field(description="folder of the checkpoints and of what is measured on them")

    @model_validator(mode="before")
    @classmethod
    def _read_files(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        read = dict(values)
        if isinstance(read.get("train"), str):
            read["train"] = load_train_spec(Path(read["train"]))
        elif isinstance(read.get("train"), Mapping):  # where it goes is said by the hardening
            read["train"] = {"output": "before", **read["train"]}
        if isinstance(read.get("audit"), str):
            read["audit"] = read_yaml(Path(read["audit"]))
        return read

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.train.task != "classification":
            raise ValueError(f"train: a classifier can be hardened, not a {self.train.task}")
        if self.train.privacy is not None:
            raise ValueError(_PRIVATE)
        if self.method == "augment":
            for name in ("warm", "rounds"):
                if getattr(self, name) is not None:
                    raise ValueError(f"{name} belongs to the method a2t; augment trains as `train` says, attacks once")
        if self.attack.reduces:
            raise ValueError(f"recipe {self.recipe!r} shortens texts that keep their class; choose one that changes it")
        if self.audit is None and self.train.held_out is None:
            raise ValueError("nothing to measure on: give train.held_out, texts never trained on, or an audit")
        return self

    @property
    def attack(self) -> Recipe:
        """The recipe. Raises UsageError for an unknown one."""
        return find_recipe(self.recipe)

    @property
    def warm_epochs(self) -> int | None:
        """Clean epochs before the first attack; None: as many as the training has."""
        return None if self.method == "augment" else self.warm or 1

    @property
    def attack_rounds(self) -> int:
        """How often training texts are attacked."""
        if self.warm_epochs is None:
            return 1
        return self.rounds or max(1, self.train.epochs - self.warm_epochs)

    def attack_params(self, number: int) -> AttackParams:
        """Settings of the attack of a round, counted from 1."""
        return AttackParams(
            seed=self.seed + number,
            query_budget=self.query_budget,
            seconds=self.seconds,
            max_words=self.max_words,
            concurrent=self.concurrent,
            workers=self.workers,
            semantics=None,
        )

    def canonical(self) -> dict[str, Any]:
        """JSON-able settings, every default filled in, of what makes the hardened checkpoint."""
        settings = self.model_dump(mode="json", exclude=set(_NO_BEARING))
        return {**settings, "train": self.train.canonical(), "warm": self.warm_epochs, "rounds": self.attack_rounds}


def load_harden_spec(path: Path) -> HardenSpec:
    """The spec in a YAML file. Raises UsageError naming what is wrong."""
    return validated(HardenSpec, read_yaml(path), str(path))
