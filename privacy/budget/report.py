"""What a folder's trainings have spent together, in words."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence

from harness.provenance.claim import rounded_up
from harness.provenance.keys import KEYS_NAME
from privacy.budget.exposure import EACH_RECORD, Exposure, Share, Spending
from privacy.budget.found import Found, Training
from privacy.budget.total import Total
from privacy.lineage import RECORDS_NAME

_COLUMNS = ("training", "state", "records", "shared", "noisy steps", "epsilon alone")
NO_BOUND = "no bound"
_WIDTH = 80


def report(found: Found, exposures: Sequence[Exposure], total: Total | None = None) -> str:
    """A block for each data set: its trainings, what they spent together, and what nobody can tell."""
    count = len(found.trainings)
    if not count:
        return f"{found.root}: no training lies here"
    head = f"{found.root}: {_plural(count, 'training')}"
    parts = [head, *("\n".join(_block(found, each, total)) for each in exposures)]
    return "\n\n".join([*parts, "\n".join(_remarks())])


def _block(found: Found, exposure: Exposure, total: Total | None) -> Iterator[str]:
    trainings = _plural(len(exposure.shares), "training")
    whose = "" if exposure.unit == EACH_RECORD else f", for {exposure.unit}"
    alone = len(exposure.shares) == 1
    yield f"{trainings} that {'shares no record with another' if alone else 'share records'}{whose}"
    yield from _table([_COLUMNS, *(_row(each) for each in exposure.shares)])
    yield f"together: {bound(exposure.worst)}"
    for each in exposure.shares:
        if each.training.unbounded:
            yield f"not private: {each.training.name}: {each.training.unbounded}"
    if exposure.unknown:
        yield "unknown: whether these read the same records"
        yield from _strangers(found, exposure.unknown)
    if exposure.with_unknown is not None:
        yield f"if they did: {bound(exposure.with_unknown)}"
    if total is not None:
        yield _against(exposure.with_unknown or exposure.worst, total)


def bound(spending: Spending) -> str:
    """`epsilon <= 8.012 at delta 1e-05 (PRV), of a record that a, b read`, or why there is none."""
    if math.isinf(spending.epsilon):
        return f"{NO_BOUND} ({spending.why})" if spending.why else NO_BOUND
    names = ", ".join(each.name for each in spending.trainings)
    of = f", for what was read by {names}" if names else ""
    at = f"at delta {spending.delta:.3g} ({spending.accountant.upper()})"
    return f"epsilon <= {rounded_up(spending.epsilon)} {at}{of}"


def _row(share: Share) -> tuple[str, ...]:
    training = share.training
    return (
        training.name,
        training.state or "finished",
        "unknown" if training.records is None else str(training.records),
        str(share.shared),
        "unknown" if training.trouble else str(training.steps),
        NO_BOUND if math.isinf(share.alone) else rounded_up(share.alone),
    )


def _strangers(found: Found, trainings: Sequence[Training]) -> Iterator[str]:
    """Their names by the reason why nobody can tell, each reason with what can be done about it."""
    by_reason: dict[str, list[str]] = {}
    for each in trainings:
        by_reason.setdefault(_why_unknown(found, each), []).append(each.name)
    for why, names in by_reason.items():
        yield from textwrap.wrap(
            f"{', '.join(names)}: {why}",
            _WIDTH,
            initial_indent="  ",
            subsequent_indent="    ",
            break_long_words=False,
            break_on_hyphens=False,
        )


def _why_unknown(found: Found, training: Training) -> str:
    if training.reading is None:
        return f"no digests of its records; put NAME.{RECORDS_NAME} back beside the checkpoint NAME if there is a copy"
    if found.keys.get(training.reading.key):
        return (
            f"its digests have another folder's key, so none is like these; assay budget {found.root} --spec SPEC "
            "compares the records that a training spec names"
        )
    return (
        f"its digests have a key that is not below {found.root}; name a folder that {KEYS_NAME} of its own folder lies "
        "below too, and --spec SPEC, to compare the records that a training spec names"
    )


def _against(spending: Spending, total: Total) -> str:
    stated = f"total: epsilon {total.epsilon:g} at delta {total.delta:g} ({total.where})"
    if math.isinf(spending.epsilon):
        return f"{stated}: nobody can say that it is kept"
    kept = "kept" if spending.epsilon <= total.epsilon else "PASSED"
    return f"{stated}: {kept}, {rounded_up(spending.epsilon)} is spent"


def _remarks() -> Iterator[str]:
    yield "Counted: what lies in this folder. A ledger that was deleted, or lies elsewhere, is not in these numbers."
    yield "A record is known again by its text; a bound is for the record that the most was spent on."


def _table(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [
            cell.ljust(width) if place < 2 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield f"  {'  '.join(cells)}".rstrip()


def _plural(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
