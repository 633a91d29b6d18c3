"""How far records are padded, so that none has an influence on the loss of another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch

from privacy.clipping.alone import differs_alone
from privacy.clipping.errors import ClippingError
from privacy.clipping.refuse import refuse_mixing
from privacy.training.data.batches import MicroBatch
from privacy.training.data.tokens import Features
from privacy.training.models.made_up import made_up_records
from privacy.training.private.ranks import Ranks
from privacy.training.work import Work


def padded_length(work: Work, tokenizer: Any, limit: int, *, together: int) -> int | None:
    """Tokens every record is to be padded to; None: those of the longest of its micro-batch.

    Decided on made-up records, then checked on training records. The first pad to `limit`, which is public; the length
    of the longest record would be an influence on all others.

    Args:
        work: with the model as it comes from its base; it is moved to the device.
        tokenizer: of the model.
        limit: tokens that records are cut at.
        together: records in a micro-batch, at most.

    Raises:
        ClippingError: a record's loss depends on others either way.
    """
    refuse_mixing(work.model)
    work.model.to(work.device)
    most = max(2, together)
    apart, short = made_up_records(tokenizer, work.model, work.spec.task, limit)
    length, found = None, _at_own_length(work, (short, apart[:most]), together)
    if found is not None and together > 1:
        length, found = limit, _depends(work, apart[:most], limit, together)
    found = found or _depends(work, _some(work)[:most], length, together)
    ranks = Ranks.current()
    if found is None and ranks.agree(length) == length:
        return length
    if together == 1:
        raise ClippingError(
            f"{found} of a record depends on the records before it, though each is alone, so clipping does not bound "
            "what a record changes; choose another base"
        )
    raise ClippingError(
        f"{found or 'the loss'} of a record depends on which records are beside it, so clipping does not bound what a "
        "record changes; use privacy.engine: one-sample, which takes each record alone (slow), or choose another base"
    )


def padding_note(work: Work) -> str | None:
    """That every record is padded to one length, and what that costs; for whoever trains. None where none is."""
    if work.length is None:
        return None
    lengths = work.encoded.lengths
    mean = sum(lengths) / len(lengths)
    kind = work.model.config.model_type
    return (
        f"a {kind} model sees how far a record is padded, so all are padded to max_tokens, {work.length} tokens; they "
        f"have {mean:.0f} on average, and each costs about {work.length / mean:.1f} times as much: lower max_tokens if "
        "few are cut by it"
    )


def _at_own_length(work: Work, groups: Iterable[Sequence[Features]], together: int) -> str | None:
    """As `_depends`. That a model cannot read a short record is no answer where each is alone, else reason to pad."""
    try:
        found = (_depends(work, records, None, together) for records in groups)
        return next(filter(None, found), None)
    except torch.OutOfMemoryError:
        raise
    except (IndexError, RuntimeError, ValueError):  # some models cannot read less than a few tokens
        return None if together == 1 else "the loss"


def _depends(work: Work, records: Sequence[Features], length: int | None, together: int) -> str | None:
    labelled = [work.collator.label(record) for record in records]

    def padded(part: list[Features]) -> MicroBatch:
        return {name: value.to(work.device) for name, value in work.collator.pad(part, length).items()}

    batch = padded(labelled) if together > 1 else None
    return differs_alone(work.model, work.objective.in_full_precision, [padded([one]) for one in labelled], batch)


def _some(work: Work) -> list[Features]:
    """Longest, shortest and middle training record."""
    order = sorted(range(len(work.encoded.records)), key=work.encoded.lengths.__getitem__)
    places = dict.fromkeys((order[-1], order[0], order[len(order) // 2]))
    return [work.encoded.records[place] for place in places]
