"""TrainSpec: what to fine-tune, on what, and how. Paths are relative to the working folder."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from harness.base.frozen import Frozen
from harness.checkpoint import CheckpointSource
from harness.data.datasets import DataSource
from privacy.canaries.spec import CanarySpec
from privacy.training.settings.fresh_spec import FreshModel
from privacy.training.settings.privacy_spec import PrivacySpec

Task = Literal["classification", "masked_lm", "causal_lm"]
Mode = Literal["full", "head", "bitfit", "last-layers", "lora"]
Quantization = Literal["none", "int8", "nf4"]
MODES: tuple[Mode, ...] = ("head", "bitfit", "last-layers", "lora", "full")
"""From few weights to all."""
_LATER = (
    "mode",
    "last_layers",
    "pooling",
    "pooling_layer",
    "optimizer",
    "momentum",
    "schedule",
    "averaging",
    "completions",
    "gradient_checkpointing",
    "canaries",
)

_LATER_PRIVACY = {
    "other_labels": "refuse",
    "max_batch": None,
    "secure": False,
    "noise": "independent",
    "bands": "auto",
    "sharding": "none",
}
"""Keys of `privacy` that older trainings did not have, with what they mean when left out."""


class LoraSpec(Frozen):
    """Low-rank adapters (Hu et al. 2021) on frozen weights; merged into them when the checkpoint is written."""

    rank: int = Field(default=8, ge=1, description="rank r of the update")
    alpha: float = Field(default=16, gt=0, description="the update is scaled by alpha / r")
    targets: tuple[str, ...] = Field(default=(), description="names of the adapted layers; default: peft's choice")
    quantization: Quantization = Field(default="none", description="how the base's frozen linear layers are kept")


class TrainSpec(Frozen):
    """One fine-tuning run. With privacy, and of a head, what is left open is filled in by the number of records."""

    base: CheckpointSource | None = Field(default=None, description="checkpoint to start from, by string or mapping")
    fresh: FreshModel | None = Field(default=None, description="make a model from scratch instead of `base`")
    task: Task = Field(description="what to train")
    data: DataSource = Field(description="training records: column text; label (and pair) for classification")
    held_out: DataSource | None = Field(default=None, description="records of the same kind, never trained on")
    label_names: tuple[str, ...] = Field(
        default=(), description="class names by index; default: those in the data, with privacy those of the base"
    )
    mode: Mode = Field(
        default="full",
        description="what is trained: full: all weights; head: the last layer; bitfit: biases and the head; "
        "last-layers: some layers, counted from the last, and the head; lora: adapters and the head",
    )
    last_layers: int = Field(default=1, ge=1, description="mode last-layers: how many, counted from the last")
    pooling: Literal["own", "mean"] = Field(
        default="own", description="mean: a new head reads the mean over the tokens, by one more layer that averages"
    )
    pooling_layer: int | None = Field(
        default=None, ge=1, description="pooling mean: the layer of the base that is read; those above are left out"
    )
    epochs: int = Field(default=3, ge=1, description="passes over the training records")
    batch_size: int = Field(default=16, ge=1, description="records per optimizer step")
    accumulation: int = Field(default=1, ge=1, description="parts a batch is computed in, to save memory")
    learning_rate: float = Field(default=2e-5, gt=0, le=1e6, description="peak learning rate")
    weight_decay: float = Field(default=0.01, ge=0, description="AdamW decay; never on biases and norm weights")
    optimizer: Literal["adamw", "sgd"] = Field(default="adamw", description="adamw without decay is Adam")
    momentum: float = Field(default=0.9, ge=0, lt=1, description="of sgd")
    schedule: Literal["linear", "constant", "cosine"] = Field(default="linear", description="after the warm-up")
    averaging: Literal["none", "last", "ema"] = Field(
        default="none", description="save the mean of the weights over the last quarter of the steps, or a moving one"
    )
    warmup_ratio: float = Field(default=0.1, ge=0, le=1, description="share of the steps spent warming up")
    max_grad_norm: float | None = Field(default=1.0, gt=0, description="clip the batch gradient; None: do not")
    max_tokens: int | None = Field(default=None, ge=2, description="cut records here; default: 512 or what base reads")
    mlm_probability: float = Field(default=0.15, gt=0, lt=1, description="share of tokens predicted, masked_lm only")
    next_sentence: bool = Field(default=False, description="masked_lm: also tell whether the pair follows the text")
    completions: Literal["none", "plain", "chat"] = Field(
        default="none",
        description="causal_lm: records are prompt and completion, only the latter is learnt; chat: by the template",
    )
    lora: LoraSpec | None = Field(default=None, description="train low-rank adapters and a new head only")
    precision: Literal["fp32", "bf16"] = Field(default="fp32", description="of the forward pass; weights stay fp32")
    gradient_checkpointing: bool = Field(
        default=False, description="keep no layer's inner activations, compute them twice: less memory, more time"
    )
    canaries: CanarySpec | None = Field(
        default=None, description="made-up records to plant, each by a fair coin, for an audit of what is remembered"
    )
    privacy: PrivacySpec | None = Field(default=None, description="train with differential privacy")
    seed: int = Field(default=0, ge=0, lt=2**32, description="seed of order, dropout, masks and a new head")
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    output: Path = Field(description="folder of the new checkpoint")

    @model_validator(mode="before")
    @classmethod
    def _named_mode(cls, values: Any) -> Any:
        """A `lora` section says the mode where none is given, as it did before there were modes."""
        if isinstance(values, dict) and "quantization" in values:
            raise ValueError("quantization is of the base under adapters: lora: {quantization: int8}")
        if isinstance(values, dict) and values.get("lora") is not None and values.get("mode") is None:
            return {**values, "mode": "lora"}
        return values

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.label_names and self.task != "classification":
            raise ValueError(f"label_names belongs to classification, not to {self.task}")
        if len(set(self.label_names)) != len(self.label_names) or len(self.label_names) == 1:
            raise ValueError("label_names must hold two or more different names")
        if self.accumulation > self.batch_size:
            raise ValueError("accumulation cannot be larger than batch_size")
        self._consistent_start()
        self._consistent_mode()
        if self.next_sentence and self.task != "masked_lm":
            raise ValueError(f"next_sentence belongs to masked_lm, not to {self.task}")
        if self.completions != "none" and self.task != "causal_lm":
            raise ValueError(f"completions belongs to causal_lm, not to {self.task}")
        if self.gradient_checkpointing and self.privacy and self.privacy.engine.startswith("opacus"):
            raise ValueError(
                f"gradient_checkpointing runs layers twice, which {self.privacy.engine} takes for two uses; choose "
                "engine book-keeping"
            )
        if self.privacy and self.max_grad_norm not in {None, 1.0}:
            raise ValueError("max_grad_norm clips whole batches; with privacy give privacy.max_grad_norm instead")
        return self

    def _consistent_start(self) -> None:
        if (self.base is None) == (self.fresh is None):
            raise ValueError("give either base, a checkpoint to start from, or fresh, a model to make")
        if self.fresh is None:
            return
        if self.lora is not None:
            raise ValueError("lora adapts trained weights; a fresh model has none, leave lora out")
        if (self.task == "causal_lm") != (self.fresh.kind == "gpt"):
            raise ValueError(f"a fresh {self.fresh.kind} cannot be trained as {self.task}; bert reads, gpt writes")

    def _consistent_mode(self) -> None:
        if (self.mode == "lora") != (self.lora is not None):
            raise ValueError(
                "mode lora needs a lora section (lora: {rank: 8})"
                if self.mode == "lora"
                else f"lora adapts frozen weights; with mode {self.mode} leave the lora section out"
            )
        if self.mode == "head" and self.task != "classification":
            raise ValueError(
                f"mode head trains the last layer of a classifier, and the task is {self.task}; choose lora"
            )
        if self.pooling == "mean" and self.task != "classification":
            raise ValueError(f"pooling belongs to classification, not to {self.task}")
        if self.pooling_layer is not None and self.pooling != "mean":
            raise ValueError("pooling_layer says which layer pooling: mean reads; give both or leave it out")
        if self.fresh is not None and (self.mode != "full" or self.pooling == "mean"):
            raise ValueError("a fresh model is trained in full and pools as its architecture does")
        if self.averaging != "none" and self.privacy is None:
            raise ValueError("averaging is for private training, whose steps are noisy; leave it out")

    @property
    def micro_batch(self) -> int:
        """Most records that are in memory at once."""
        return -(-self.batch_size // self.accumulation)

    def with_mode(self, mode: Mode) -> TrainSpec:
        """The same with another mode; what was left open stays open. Raises ValidationError where the two clash."""
        given = self.model_dump(exclude_unset=True)
        lora = given.pop("lora", None)
        if mode == "lora":
            given["lora"] = lora or {}
        return TrainSpec.model_validate({**given, "mode": mode})

    def canonical(self) -> dict[str, Any]:
        """JSON-able settings with every default filled in; without `output`, which changes nothing that is learnt."""
        values = self.model_dump(mode="json", exclude={"output"})
        if self.privacy is not None:
            del values["privacy"]["total_epsilon"]  # whether a run may start changes nothing that is learnt either
        for key in _LATER:  # they came later, and the digests of older trainings must stay
            if values[key] == type(self).model_fields[key].default or (key == "mode" and values[key] == "lora"):
                del values[key]
        if self.lora is not None and self.lora.quantization == "none":
            del values["lora"]["quantization"]
        if self.privacy is not None:
            for name, unset in _LATER_PRIVACY.items():
                if getattr(self.privacy, name) == unset:
                    del values["privacy"][name]
        return values

    def digest(self) -> str:
        """sha256 of the canonical settings."""
        return config_digest(self.canonical())


def config_digest(config: dict[str, Any]) -> str:
    """sha256 of JSON-able settings, whatever the order of their keys."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()
