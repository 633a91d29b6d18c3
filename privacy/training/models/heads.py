"""Which head of a language model a task goes on training: the base's own, or a new one on a bare encoder."""

from __future__ import annotations

from harness.api.needs import Need
from harness.checkpoint import CheckpointInfo
from harness.errors import CheckpointError
from privacy.training.settings.spec import TrainSpec

_HEADS = {"masked_lm": Need.MASKED_LM, "causal_lm": Need.CAUSAL_LM}


def needs_language_head(spec: TrainSpec, base: CheckpointInfo) -> bool:
    """Whether the task predicts tokens and the base has no head for that; then it gets a new one.

    Raises CheckpointError when it gets none: it has another head, or the task is causal (encoders see later tokens).
    """
    need = _HEADS.get(spec.task)
    if need is None or need in base.offers:
        return False
    bare = base.architecture.endswith("Model") and base.offers <= {Need.EMBEDDINGS, Need.TRAINING_MANIFEST}
    if need is Need.MASKED_LM and bare:
        return True
    offers = ", ".join(sorted(base.offers)) or "nothing"
    raise CheckpointError(
        f"{base.source.source}: offers {offers}, but task {spec.task} goes on training a {need}; choose such a base"
    )


def new_head_note(spec: TrainSpec, base: CheckpointInfo | None) -> str | None:
    """What whoever trains must know of a new head."""
    if base is None or not needs_language_head(spec, base):
        return None
    return (
        f"{base.source.source} has no masked-LM head, so a new one was drawn at random (seed {spec.seed}); "
        "measure the model before you rely on what it predicts"
    )
