"""What a private training does where its spec leaves it open: settings that suit noise.

Sources. Batches of a large part of the data and many fewer steps than usual: Li et al. 2022 (arXiv 2110.05679), De et
al. 2022 (arXiv 2204.13650). Small clipping norms, so that nearly every record is clipped: Li et al. No weight decay: it
pulls at weights whose gradient is mostly noise. Rates ten times those without privacy: Li et al. for all weights,
Bu et al. 2022 (arXiv 2210.00036) for biases. A head on frozen features: momentum, a constant rate and the mean of the
last iterates, as in Mehta et al. 2022 (arXiv 2205.02973) and De et al.; its batch, steps and rate were chosen on SST-2.
"""

from __future__ import annotations

import math
from typing import Any

from privacy.training.settings.spec import Mode, TrainSpec

_RATES: dict[Mode, float] = {"full": 5e-4, "last-layers": 1e-3, "lora": 1e-2, "bitfit": 5e-3}
"""AdamW's peak learning rate by mode."""
_PART = 0.1
"""Of the records, in a batch."""
_MICRO = 32
"""Records that are in memory at once."""
_HEAD: dict[str, Any] = {
    "epochs": 30,  # an epoch over features costs nothing; 100 steps of three tenths are where more no longer helps
    "optimizer": "sgd",
    "learning_rate": 1.0,
    "schedule": "constant",
    "averaging": "last",
    "warmup_ratio": 0.0,
    "accumulation": 1,
}
_HEAD_PART = 0.3
_HEAD_NORM = 1.0


def with_defaults(spec: TrainSpec, records: int) -> TrainSpec:
    """`spec` with what it leaves open filled in, for training on `records` records with privacy or of a head alone."""
    head = spec.mode == "head"
    if spec.privacy is None and not head:
        return spec
    size = spec.batch_size if "batch_size" in spec.model_fields_set else _batch(records, _HEAD_PART if head else _PART)
    filled: dict[str, Any] = {"batch_size": size, "accumulation": math.ceil(size / _MICRO), "weight_decay": 0.0}
    filled |= _HEAD if head else {"learning_rate": _RATES[spec.mode]}
    given = spec.model_dump(exclude_unset=True)
    if spec.privacy is None:
        del filled["averaging"]
    elif head and "max_grad_norm" not in given["privacy"]:
        given["privacy"] = {**given["privacy"], "max_grad_norm": _HEAD_NORM}
    return TrainSpec.model_validate({**filled, **given})


def _batch(records: int, part: float) -> int:
    return max(1, round(part * records))
