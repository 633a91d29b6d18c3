"""TrainingManifest: what a checkpoint was trained on, written by training, read by probes that audit memory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from harness.data.datasets import DataSource
from harness.errors import CheckpointError
from harness.provenance.artefacts import Artefact

MANIFEST_NAME = "training_manifest.json"
_MAX_BYTES = 16 * 2**20
"""A manifest with the losses of 100,000 epochs has 2 MB."""


class Unprivatised(BaseModel):
    """Facts about a private run that noise does not protect: releasing them releases something about the records."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    losses: tuple[float | None, ...] = Field(description="mean record loss of each epoch, nats; None: no record drawn")
    clipped: float | None = Field(description="share of the records drawn whose gradient was made smaller")
    norm_quantiles: dict[str, float] = Field(description="quantiles of gradient norms before clipping")
    non_finite: int = Field(description="records drawn whose loss or gradient was no number; they contributed zero")
    drawn: int = Field(description="records drawn, over all steps")


class EarlierRun(BaseModel):
    """A private training that the checkpoint goes back to and that read records of this one: its budget counts too."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    ledger: str = Field(description="hash of the last line of its ledger, which lies beside the weights")
    shared: int = Field(description="units of this training that it read as well")
    records: int = Field(description="records that it read")
    group: int = Field(description="most records that one unit had there")
    sampling: str
    sample_rate: float
    noise_multiplier: float
    steps: int = Field(description="noisy steps taken")
    max_batch: int | None = Field(default=None, description="most records of a step; null: no cap")
    compositions: int = Field(description="noisy releases of a record, as the accountant counted them")


class PrivacyClaim(BaseModel):
    """The guarantee a checkpoint was trained with: everything needed to recompute it, and what it leaves out."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    epsilon: float = Field(description="upper bound claimed; inf: no guarantee")
    epsilon_lower: float | None = Field(description="lower end of the same accountant, where it gives one")
    delta: float
    accountant: str = Field(description="whose upper bound `epsilon` is: prv, pld or rdp")
    second_opinion: float | None = Field(description="upper bound of the second accountant")
    second_accountant: str | None
    rdp: float | None = Field(description="upper bound by Renyi accounting, never smaller than a tight one")
    note: str | None = Field(default=None, description="what the reader must know, e.g. that an accountant failed")
    target_epsilon: float | None = Field(description="what was asked for; None: the noise was given")
    unit: str = Field(description="what is protected: each record, or all records of one value of a column")
    units: int = Field(description="how many there are")
    group: int = Field(description="most records that one unit has")
    neighbours: str = Field(description="how neighbouring data sets differ, in units")
    records: int
    sampling: str = Field(description="Poisson, or shuffled without amplification")
    sample_rate: float = Field(description="probability of each record to be in a step, as the accountant read it")
    max_batch: int | None = Field(
        default=None, description="most records of a step, of more a uniform subset was kept; null: no cap"
    )
    compositions: int = Field(description="noisy releases of a record, as the accountant counted them")
    expected_batch_size: int = Field(description="constant that noisy sums are divided by")
    noise_multiplier: float = Field(description="standard deviation of the noise over the clipping norm")
    noise: str = Field(default="Gaussian", description="kind of noise")
    bands: int | None = Field(default=None, description="steps that noise is correlated over; null: independent")
    clipping: str
    max_grad_norm: float = Field(description="clipping norm; of the first step where clipping is adaptive")
    steps: int = Field(description="noisy steps taken, those lost in crashes among them")
    steps_lost: int = Field(description="steps whose result was lost in a crash; their budget is spent all the same")
    engine: str = Field(description="how per-sample gradients were clipped")
    processes: int
    ledger: str = Field(description="hash of the last line of the privacy ledger beside the weights")
    outside: tuple[str, ...] = Field(
        default=(), description="parts of the checkpoint that the guarantee does not cover"
    )
    run_epsilon: float | None = Field(
        default=None, description="upper bound of this training alone, where `epsilon` composes it with earlier ones"
    )
    earlier: tuple[EarlierRun, ...] = Field(
        default=(), description="private trainings before this one that `epsilon` counts as well, the latest first"
    )
    unprivatised: Unprivatised | None = Field(description="null: left out when the checkpoint was published")


class HardeningRound(BaseModel):
    """One attack on training texts, and what was trained on after it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int = Field(ge=1)
    attacked: int = Field(ge=0, description="training texts attacked")
    succeeded: int = Field(ge=0, description="attacks that changed the class")
    failed: int = Field(ge=0)
    skipped: int = Field(ge=0, description="texts that were misclassified as they are")
    errors: int = Field(ge=0, description="attacks that broke; nothing is known of these texts")
    added: int = Field(ge=0, description="adversarial texts added to the training texts, each counted once")
    queries: int = Field(ge=0, description="questions that the attacks asked the model")
    seconds: float = Field(ge=0, description="what the attacks took: their search, and their share of the model's work")
    texts_digest: str = Field(description="content digest of all texts trained on in this round")


class HardeningRecord(BaseModel):
    """How a checkpoint was hardened against attacks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: str = Field(description="augment or a2t")
    recipe: str = Field(description="the attack")
    recipe_version: str
    resources: str = Field(description="what the attack was built from; another makes another attack; '': nothing")
    share: float = Field(description="share of the training texts attacked in each round")
    weight: int = Field(description="how often each adversarial text is seen where a clean one is seen once")
    rounds: tuple[HardeningRound, ...]
    settings: dict[str, Any] = Field(description="every setting of the hardening")


class PlantedCanaries(BaseModel):
    """Made-up records that were trained on among the others, each planted by a fair coin."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    count: int = Field(ge=1, description="canaries, planted or not")
    records: int = Field(ge=0, description="records that they are; trained on and counted like any other")
    digest: str = Field(description="content digest of all records trained on, these among them; see digest_key")


class TrainingManifest(BaseModel):
    """Provenance of a trained checkpoint; lies next to its weights as `training_manifest.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str = Field(description="classification, masked_lm or causal_lm")
    objective: str | None = Field(default=None, description="loss that was minimised, e.g. masked_lm+sentence_order")
    base: str | None = Field(description="source of the checkpoint training started from; None: made from scratch")
    base_fingerprint: str | None = Field(description="its fingerprint")
    weights: str = Field(description="sha256 digest of the trained weights this manifest belongs to")
    members: DataSource = Field(description="the records trained on")
    members_digest: str = Field(description="content digest of those records; see digest_key")
    members_n: int = Field(description="how many records")
    non_members: DataSource | None = Field(default=None, description="held-out records of the same distribution")
    non_members_digest: str | None = Field(default=None, description="content digest of the held-out records")
    non_members_n: int = Field(default=0, description="how many held-out records")
    digest_key: str | None = Field(
        default=None, description="id of the key of both digests, which the owner keeps; null: they have none"
    )
    label_names: tuple[str, ...] = Field(default=(), description="class names by index, classification only")
    seed: int = Field(description="seed of shuffling, dropout and initialisation")
    config: dict[str, Any] = Field(description="every training setting")
    steps: int = Field(description="optimizer steps taken")
    losses: tuple[float, ...] = Field(
        default=(), description="mean training loss of each epoch, nats; of a private run see privacy.unprivatised"
    )
    seconds: float | None = Field(default=None, description="wall-clock time of the training process that finished it")
    peak_memory: int | None = Field(default=None, description="most memory that process held, bytes")
    device: str | None = Field(default=None, description="cpu, or the name of the accelerator")
    versions: dict[str, str] = Field(description="package versions")
    quantized: str | None = Field(
        default=None, description="how the base was kept in few bits while adapters were trained; null: it was not"
    )
    canaries: PlantedCanaries | None = Field(
        default=None, description="made-up records planted among the members, which do not count them; None: none"
    )
    artefacts: tuple[Artefact, ...] = Field(
        default=(), description="what the training left besides the checkpoint; see harness.provenance.artefacts"
    )
    privacy: PrivacyClaim | None = Field(default=None, description="the claimed guarantee; None: trained without one")
    hardening: HardeningRecord | None = Field(
        default=None, description="how it was hardened against attacks; `config` is then that of the last round"
    )

    @model_validator(mode="before")
    @classmethod
    def _canary_files(cls, values: Any) -> Any:
        """Manifests from before artefacts name the files of canaries with the canaries."""
        canaries = values.get("canaries") if isinstance(values, dict) else None
        if not isinstance(canaries, dict) or not isinstance(files := canaries.get("files"), dict):
            return values
        moved = [
            {"name": name, "kind": name, "digest": digest, "readers": "audit", "file": f"{name}.json"}
            for name, digest in files.items()
        ]
        kept = {name: value for name, value in canaries.items() if name != "files"}
        return {**values, "canaries": kept, "artefacts": [*values.get("artefacts", ()), *moved]}

    @field_validator("artefacts")
    @classmethod
    def _one_of_a_name(cls, artefacts: tuple[Artefact, ...]) -> tuple[Artefact, ...]:
        if len({each.name for each in artefacts}) < len(artefacts):
            raise ValueError("two artefacts have the same name")
        return artefacts

    @property
    def trained_n(self) -> int:
        """Records that were trained on, canaries among them."""
        return self.members_n + (self.canaries.records if self.canaries else 0)

    @property
    def trained_digest(self) -> str:
        """Digest of all of them; see digest_key."""
        return self.canaries.digest if self.canaries else self.members_digest


def read_manifest(folder: Path) -> TrainingManifest | None:
    """The manifest lying in a checkpoint folder, or None. Raises CheckpointError when it cannot be read."""
    path = folder / MANIFEST_NAME
    if not os.path.lexists(path):
        return None
    from harness.base.confined import read_bytes

    content = read_bytes(path, _MAX_BYTES)
    try:
        return TrainingManifest.model_validate_json(content)
    except (ValidationError, ValueError, RecursionError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else {"loc": (), "msg": str(error)}
        where = ".".join(str(part) for part in first["loc"])[:200]
        raise CheckpointError(
            f"{path}: not a training manifest ({where}: {first['msg'][:200]}); restore or delete it"
        ) from error
