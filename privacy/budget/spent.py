"""How what was spent came about: over the steps of each training, and over trainings on the same records."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from harness.base.files import write_text
from harness.provenance.spending import SPENDING_NAME, SharedRecords, Spending, Spent, TrainingSpent
from privacy.accounting import AccountantName
from privacy.budget.exposure import Exposure, Share, spending
from privacy.budget.found import Found, Training
from privacy.budget.total import Total

_POINTS = 12
"""Of a curve over steps; the accountant takes up to a second for each."""


def write_spent(found: Found, exposures: Sequence[Exposure], total: Total | None, accountant: AccountantName) -> Path:
    """Leave the history of `found` in its folder; returns the file. Raises AuditError where it cannot be written."""
    path = found.root / SPENDING_NAME
    write_text(path, spent(exposures, total, accountant).model_dump_json(indent=1) + "\n", private=True)
    return path


def spent(exposures: Sequence[Exposure], total: Total | None, accountant: AccountantName) -> Spending:
    """The history of what `exposures` say."""
    return Spending(
        written=datetime.now(UTC).isoformat(timespec="seconds"),
        groups=tuple(_group(each, accountant) for each in exposures),
        total=None if total is None else total.epsilon,
        total_delta=None if total is None else total.delta,
    )


def _group(exposure: Exposure, accountant: AccountantName) -> SharedRecords:
    worst = exposure.worst
    held = sorted(worst.trainings, key=_age)
    return SharedRecords(
        unit=exposure.unit,
        delta=worst.delta,
        accountant=worst.accountant,
        trainings=tuple(
            _training(share, exposure.unit, worst.delta, accountant)
            for share in sorted(exposure.shares, key=lambda share: _age(share.training))
        ),
        together=tuple(
            Spent(after=count, epsilon=spending(held[:count], exposure.unit, worst.delta, accountant).epsilon)
            for count in range(1, len(held) + 1)
        ),
        worst=tuple(each.name for each in held),
        why=worst.why,
        unknown=tuple(each.name for each in exposure.unknown),
    )


def _training(share: Share, unit: str, delta: float, accountant: AccountantName) -> TrainingSpent:
    training, header = share.training, share.training.header
    bounded = math.isfinite(share.alone)
    return TrainingSpent(
        name=training.name,
        state=training.state,
        created=header.created if header else "",
        steps=training.steps,
        planned=header.steps if header else None,
        records=training.records,
        epsilon=share.alone,
        why=training.unbounded,
        history=tuple(_over_steps(training, unit, delta, accountant)) if bounded else (),
    )


def _over_steps(training: Training, unit: str, delta: float, accountant: AccountantName) -> Iterator[Spent]:
    """Epsilon after some of the steps, evenly spread, the last one among them; steps that have none are left out."""
    for steps in np.unique(np.linspace(0, training.steps, _POINTS + 1).round().astype(int))[1:]:
        bound = spending([replace(training, steps=int(steps))], unit, delta, accountant).epsilon
        if math.isfinite(bound):
            yield Spent(after=int(steps), epsilon=bound)


def _age(training: Training) -> tuple[str, str]:
    """Oldest first; what has no ledger has no time, and stands last."""
    return (training.header.created if training.header else "~", training.name)
