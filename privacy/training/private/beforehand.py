"""What would end a run after its budget is spent is looked for before its first step."""

from __future__ import annotations

import inspect
from typing import Any

from harness.errors import UsageError
from privacy.accounting import AccountingError, claim_all
from privacy.lineage import Composed, mechanism_of_header
from privacy.training.private.guarantee import Guarantee
from privacy.training.settings.spec import TrainSpec

_MOST_NOISE = 1e15
"""Standard deviation per record of a batch that float32 can square (AdamW does), with room for the largest draws."""


def check_claimable(spec: TrainSpec, guarantee: Guarantee, composed: tuple[Composed, ...]) -> None:
    """Raises UsageError where the planned steps have no claim, or their noise is beyond what training can compute."""
    privacy, noise = guarantee.spec, guarantee.noise_multiplier
    deviation = noise * privacy.max_grad_norm / spec.batch_size
    if deviation > _MOST_NOISE:
        raise UsageError(
            f"privacy: noise_multiplier {noise:g} times max_grad_norm {privacy.max_grad_norm:g} is more noise than "
            "32-bit numbers hold; lower either"
        )
    from privacy.clipping.rules import LEAST_NORM, Adaptive  # it imports torch

    if noise and min(1.0, noise) * privacy.max_grad_norm < LEAST_NORM:
        raise UsageError(
            f"privacy: max_grad_norm {privacy.max_grad_norm:g} with noise_multiplier {noise:g} makes sums or noise too "
            "small for 32-bit numbers; raise max_grad_norm"
        )
    if privacy.clipping == "adaptive":
        Adaptive(privacy.max_grad_norm).gradient_noise(noise)
    own = guarantee.sampling.mechanism(noise, group=guarantee.unit.group)
    before = [mechanism_of_header(each.run.header, each.run.spent, each.group) for each in composed]
    try:
        claim_all([own, *before], guarantee.delta, privacy.accountant)
    except AccountingError as error:
        raise UsageError(f"privacy: nothing could be claimed after these steps, so none is taken: {error}") from error


def check_masks(model: Any) -> None:
    """Raises UsageError for a model that takes no attention mask: padding, so other records, would move its answers."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    taken = inspect.signature(base.forward).parameters
    if "attention_mask" in taken or any(each.kind is each.VAR_KEYWORD for each in taken.values()):
        return
    raise UsageError(
        f"a model of the kind {base.config.model_type} takes no attention mask, so how long the other records of a "
        "batch are would move what it learns from one; start from a model of another kind"
    )
