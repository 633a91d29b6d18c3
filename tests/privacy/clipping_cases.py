"""Tiny models, micro-batches, and the reference: a loop of ordinary one-sample backward passes."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor, nn

from privacy.clipping import ClippingEngine, ClippingStats, OneSampleEngine, per_sample_loss
from privacy.clipping.losses import IGNORED, Task
from tests.tiny import KINDS, make_checkpoint

Batch = dict[str, Tensor]

TASKS: dict[str, Task] = {"classifier": "classification", "masked_lm": "masked_lm", "causal_lm": "causal_lm"}
REFUSED = {"deberta-v2": "encoder.LayerNorm", "xlnet": "mask_emb"}
"""Kinds that only the one-sample engine trains in full, with what the refusal names."""

_CLASSES = {
    "classifier": transformers.AutoModelForSequenceClassification,
    "masked_lm": transformers.AutoModelForMaskedLM,
    "causal_lm": transformers.AutoModelForCausalLM,
}
_ADAPTED = {
    "bert": ["query", "dense"],
    "gpt2": ["c_attn", "c_fc", "c_proj"],
    "gpt-neo": ["q_proj", "c_fc"],
    "gpt-neox": ["query_key_value", "dense"],
    "distilbert": ["q_lin", "lin1"],
    "mpnet": ["q", "dense"],
    "deberta-v2": ["value_proj"],
    "xlnet": ["layer_1", "layer_2"],
    "opt": ["q_proj", "fc1"],
    "llama": ["q_proj", "down_proj"],
    "gemma": ["q_proj", "down_proj"],
}


def language_head(kind: str) -> str:
    """The language-model head of a kind."""
    return "causal_lm" if kind in {"gpt2", "gpt-neo", "gpt-neox", "opt", "llama", "gemma", "xlnet"} else "masked_lm"


EVERY = [(kind, head) for kind in KINDS for head in (language_head(kind), "classifier")]


@functools.cache
def _folder(kind: str, head: str) -> tempfile.TemporaryDirectory[str]:
    folder = tempfile.TemporaryDirectory()
    make_checkpoint(Path(folder.name), kind, head)
    return folder


def make_model(kind: str, head: str, **config: Any) -> Any:
    """A tiny model in float64, without dropout; one with settings changed has fresh weights, which fit them."""
    folder, family = _folder(kind, head).name, _CLASSES[head]
    if config:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = family.from_config(transformers.AutoConfig.from_pretrained(folder, **config))
    else:
        model = family.from_pretrained(folder)
    model = model.double().eval()
    if model.config.pad_token_id is None:
        model.config.pad_token_id = 0
    return model


def add_lora(model: Any, kind: str) -> Any:
    """`model` with adapters on some of its layers, and all else frozen but the classifier's head."""
    import peft

    config = peft.LoraConfig(
        r=2, target_modules=_ADAPTED.get(kind, ["query", "dense"]), init_lora_weights=False, fan_in_fan_out=False
    )
    return peft.get_peft_model(model, config).double().eval()


def make_batch(model: Any, head: str, *, samples: int = 3, positions: int = 7, seed: int = 0) -> Batch:
    """A micro-batch whose second sample is padded from its middle on."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(6, 100, (samples, positions), generator=generator)
    mask = torch.ones_like(ids)
    mask[1:2, positions // 2 + 1 :] = 0
    ids = ids.masked_fill(mask == 0, model.config.pad_token_id)
    if head == "classifier":
        labels = torch.randint(0, 2, (samples,), generator=generator)
    else:
        hidden = mask == 0
        if head == "masked_lm":
            hidden |= torch.rand(ids.shape, generator=generator) < 0.5
            hidden[:, 0] = False
        labels = ids.masked_fill(hidden, IGNORED)
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def take(batch: Batch, samples: slice) -> Batch:
    """Some samples of a micro-batch."""
    return {name: value[samples] for name, value in batch.items()}


def trained(model: nn.Module) -> dict[str, nn.Parameter]:
    """Its trained parameters by name."""
    return {name: value for name, value in model.named_parameters() if value.requires_grad}


def clear(model: nn.Module) -> None:
    """Forget the clipped sums."""
    for value in model.parameters():
        vars(value).pop("summed_grad", None)


def run(engine: ClippingEngine, model: nn.Module, batch: Batch, head: str) -> ClippingStats:
    """One micro-batch through an engine; the one-sample engine takes it sample by sample."""
    samples = len(batch["labels"])
    if isinstance(engine, OneSampleEngine) and samples > 1:
        stats = [run(engine, model, take(batch, slice(place, place + 1)), head) for place in range(samples)]
        return ClippingStats(
            norms=torch.cat([one.norms for one in stats]),
            smaller=torch.stack([one.smaller for one in stats]).sum(),
            non_finite=sum(one.non_finite for one in stats),
        )
    with engine.recording(samples):
        losses = per_sample_loss(model, batch, TASKS[head])
    return engine.backward(losses)


def one_sample_gradients(model: nn.Module, batch: Batch, head: str) -> list[dict[str, Tensor]]:
    """Each sample's gradients, from a forward and a backward pass of its own."""
    values = trained(model)
    found = []
    for place in range(len(batch["labels"])):
        loss = per_sample_loss(model, take(batch, slice(place, place + 1)), TASKS[head]).sum()
        grads = torch.autograd.grad(loss, list(values.values()), allow_unused=True)
        pairs = zip(values.items(), grads, strict=True)
        found.append({name: torch.zeros_like(value) if grad is None else grad for (name, value), grad in pairs})
    return found


def norm_of(gradients: Mapping[str, Tensor]) -> Tensor:
    """Norm over all parameters."""
    return torch.stack([value.square().sum() for value in gradients.values()]).sum().sqrt()


def names_with_gradients(gradients: list[dict[str, Tensor]]) -> set[str]:
    """Parameters whose gradients are more than rounding noise."""
    overall = max(float(norm_of(one)) for one in gradients)
    return {name for one in gradients for name, value in one.items() if float(value.norm()) > 1e-12 * overall}


def flat_sum(gradients: list[dict[str, Tensor]], bound: float) -> dict[str, Tensor]:
    """Sum of the samples' gradients, each scaled by min(1, bound / norm)."""
    scales = [min(1.0, bound / float(norm_of(one))) for one in gradients]
    return {
        name: torch.stack([scale * one[name] for scale, one in zip(scales, gradients, strict=True)]).sum(dim=0)
        for name in gradients[0]
    }


def relative_error(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> float:
    """Largest error of any parameter, relative to its norm (to 1e-6 of the whole gradient where that is larger)."""
    assert found.keys() == expected.keys()
    floor = 1e-6 * float(norm_of(expected))
    return max(
        float((found[name] - expected[name]).norm()) / max(float(expected[name].norm()), floor) for name in expected
    )
