"""A total epsilon that all trainings on the same records keep to together, stated in a file beside the checkpoints."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from harness.base.files import make_folder, write_text
from harness.base.frozen import Frozen
from harness.base.validation import load_yaml, validated
from harness.errors import UsageError
from harness.provenance.claim import rounded_up
from privacy.accounting import AccountantName, AccountingError, Mechanism, claim, claim_all
from privacy.accounting.calibration import MOST_NOISE
from privacy.budget.exposure import Spending, spending, with_key
from privacy.budget.found import Found, Training
from privacy.budget.overlap import holders_of_records
from privacy.lineage import Records

BUDGET_NAME = "assay_budget.yaml"
_ROUNDS = 16
"""Halvings of the range of noise in which the largest epsilon that fits is looked for: to 0.1 % of it."""
_SPARE = 1e-3
"""Share of the total that is left by what is said to fit, as accountants round."""


class Budget(Frozen):
    """What the file holds."""

    total_epsilon: float = Field(gt=0, description="all trainings on the same records together spend at most this")
    delta: float = Field(gt=0, lt=1, description="at this delta")


@dataclass(frozen=True, slots=True)
class Total:
    """A limit and where it was stated."""

    epsilon: float
    delta: float
    where: str
    """For messages: a file, or a key of the spec."""
    root: Path
    """Folder whose trainings count, all that lie below it too."""


def budget_file(folder: Path) -> Total | None:
    """The total of the nearest file in `folder` or above it. Raises UsageError for a file that holds none."""
    here = folder.absolute()
    for above in (here, *here.parents):
        path = above / BUDGET_NAME
        if path.is_file():
            stated = load_yaml(path, Budget)
            # the path as the user gave it, where it is one
            root = folder if above == here else above
            return Total(stated.total_epsilon, stated.delta, str(root / BUDGET_NAME), root)
    return None


def set_total(folder: Path, epsilon: float, delta: float) -> Path:
    """Write the file; returns its path. Raises UsageError for numbers that make no budget."""
    stated = validated(Budget, {"total_epsilon": epsilon, "delta": delta}, "--total and --delta")
    path = make_folder(folder) / BUDGET_NAME
    write_text(path, f"total_epsilon: {stated.total_epsilon!r}\ndelta: {stated.delta!r}\n")
    return path


@dataclass(frozen=True, slots=True)
class Planned:
    """A training, or several, about to start."""

    name: str
    mechanisms: tuple[Mechanism, ...]
    """All steps planned; none: without privacy."""
    records: Records
    unit: str
    accountant: AccountantName
    delta: float = 0.0
    """Of its own claim."""
    at_noise: Callable[[float], Mechanism] | None = None
    """The one training at another noise multiplier; None where there are several, or no noise."""
    more: tuple[Training, ...] = ()
    """Earlier trainings of its base that read the same records and are not found by digests."""


def check_total(total: Total, planned: Planned, found: Found) -> None:
    """Raises UsageError with the numbers where `planned` would pass the total, or where nobody can tell."""
    every = (*found.trainings, *planned.more)
    readings = [with_key(found, each) for each in found.trainings]
    known = holders_of_records([*readings, *(None for _ in planned.more)], planned.records)
    if not planned.mechanisms:
        _check_plain(total, planned, [every[index] for held in known for index in held])
        return
    worst: tuple[Spending, Spending] | None = None
    for held in known or [frozenset()]:
        trainings = [every[index] for index in sorted(held)]
        together = spending(trainings, planned.unit, total.delta, planned.accountant, planned.mechanisms)
        before = spending(trainings, planned.unit, total.delta, planned.accountant)
        if worst is None or together.epsilon > worst[1].epsilon:
            worst = before, together
    assert worst is not None
    if worst[1].epsilon > total.epsilon:
        raise UsageError(_refusal(total, planned, *worst))


def _check_plain(total: Total, planned: Planned, trainings: Sequence[Training]) -> None:
    private = sorted({each.name for each in trainings if not each.plain})
    if private:
        raise UsageError(
            f"{planned.name}: trains without privacy, which no total bounds, on records whose budget is epsilon "
            f"{total.epsilon:g} at delta {total.delta:g} ({total.where}) and which were, or may have been, read by "
            f"{_listed(private)}; train with privacy, or on other records; nothing was trained"
        )


def _refusal(total: Total, planned: Planned, before: Spending, together: Spending) -> str:
    start = (
        f"{planned.name}: would pass the total of epsilon {total.epsilon:g} at delta {total.delta:g} ({total.where})"
    )
    if math.isinf(before.epsilon):
        return (
            f"{start}: what was spent on these records has no bound ({before.why}); if that training read other "
            "records, move it out of this folder; nothing was spent"
        )
    names = [each.name for each in before.trainings]
    spent = f"{rounded_up(before.epsilon)} is spent" + (f" by {_listed(names)}" if names else "")
    try:
        own = rounded_up(claim_all(planned.mechanisms, total.delta, planned.accountant).epsilon)
    except AccountingError as error:
        return f"{start}: no accountant can bound this training ({error}); nothing was spent"
    return (
        f"{start}: {spent}, this training takes {own}, together {rounded_up(together.epsilon)}; "
        f"{_what_fits(total, planned, before)}; nothing was spent"
    )


def _what_fits(total: Total, planned: Planned, before: Spending) -> str:
    nothing = "nothing more fits, so train on other records or raise the total"
    if before.epsilon >= total.epsilon:
        return nothing
    if planned.at_noise is None:
        return f"{total.epsilon:g} is the total, so plan fewer trainings or smaller epsilons"
    fits = largest_epsilon(total, planned, before)
    return nothing if fits is None else f"the largest privacy.epsilon that fits is {fits:g}"


def largest_epsilon(total: Total, planned: Planned, before: Spending) -> float | None:
    """Epsilon, at its own delta, that one training may have after `before`; None: none above 0.001 may."""
    assert planned.at_noise is not None
    target = total.epsilon * (1 - _SPARE)

    def fits(noise: float) -> bool:
        assert planned.at_noise is not None
        own = (planned.at_noise(noise),)
        return spending(before.trainings, planned.unit, total.delta, planned.accountant, own).epsilon <= target

    low, high = planned.mechanisms[0].noise_multiplier or 1e-2, 2.0
    while not fits(high):
        low, high = high, 2 * high
        if high > MOST_NOISE:
            return None
    low = min(low, high / 2)
    for _ in range(_ROUNDS):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if fits(middle) else (middle, high)
        if high / low < 1 + _SPARE:
            break
    alone = claim(planned.at_noise(high), planned.delta or total.delta, planned.accountant).epsilon
    rounded = math.floor(alone * 1000) / 1000
    return rounded or None


def _listed(names: Sequence[str], most: int = 4) -> str:
    shown = list(dict.fromkeys(names))
    rest = f" and {len(shown) - most} more" if len(shown) > most else ""
    return ", ".join(shown[:most]) + rest
