"""What the trainings that may hold one record have spent on it, by the accountant over all their ledgers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from privacy.accounting import AccountantName, AccountingError, Mechanism, claim_all
from privacy.budget.found import Found, Reading, Training
from privacy.budget.overlap import (
    Holders,
    components,
    holders_by_digest,
    holders_of_records,
    shared_texts,
    who_is_in,
)
from privacy.lineage import Records
from privacy.sampling.errors import SamplingError


@dataclass(frozen=True, slots=True)
class Spending:
    """A bound, and the trainings that the worst record was in."""

    epsilon: float
    """inf: none can be given."""
    delta: float
    accountant: str
    trainings: tuple[Training, ...]
    why: str = ""
    """Why there is no bound; '' where there is one."""


@dataclass(frozen=True, slots=True)
class Share:
    """A training and how much of what it read other ones read too."""

    training: Training
    shared: int
    """Texts, or records (units) of the data at hand."""
    alone: float
    """Epsilon of this training by itself, at the delta of the whole; inf: none."""


@dataclass(frozen=True, slots=True)
class Exposure:
    """One data set: trainings that share records."""

    shares: tuple[Share, ...]
    unit: str
    """What the bounds protect."""
    worst: Spending
    unknown: tuple[Training, ...] = ()
    """Trainings that may have read the same records, which nobody can tell."""
    with_unknown: Spending | None = None
    """The bound if they did; None where there are none."""


EACH_RECORD = "each record"


def exposures(found: Found, delta: float | None = None, accountant: AccountantName = "prv") -> list[Exposure]:
    """A data set for each group of trainings that share records, by their digests alone.

    `delta`: None takes the smallest of the group's own. Nothing is compared across keys: what has another one is
    unknown to the others. Trainings whose records are not known make a group of their own.
    """
    known = [each for each in found.trainings if each.reading is not None]
    groups = [[known[index] for index in group] for group in components([_reading(each) for each in known])]
    strangers = [each for each in found.trainings if each.reading is None]
    result = []
    for group in groups:
        key = _reading(group[0]).key
        unknown = [*strangers, *(each for each in known if _reading(each).key != key)]
        result += _group_exposures(group, unknown, delta, accountant)
    if strangers and not groups:
        result.append(_exposure(strangers, [frozenset(range(len(strangers)))], EACH_RECORD, [], delta, accountant))
    return result


def exposures_of(
    found: Found, records: Records, unit: str, delta: float | None = None, accountant: AccountantName = "prv"
) -> Exposure:
    """What has been spent on these very records; trainings that read none of them are left out."""
    trainings = found.trainings
    readings = [with_key(found, each) for each in trainings]
    counts = [len(set(who_is_in(each, records))) if each else 0 for each in readings]
    known = [index for index, count in enumerate(counts) if count]
    strangers = [index for index, each in enumerate(readings) if each is None]
    sets = holders_of_records([readings[index] for index in known], records)
    made = _exposure(
        [trainings[index] for index in known], sets, unit, [trainings[index] for index in strangers], delta, accountant
    )
    shares = tuple(replace(share, shared=counts[index]) for share, index in zip(made.shares, known, strict=True))
    return replace(made, shares=shares)


def with_key(found: Found, training: Training) -> tuple[Reading, bytes] | None:
    """What a training read, with the key that tells records among it; None where either is missing."""
    key = found.keys.get(training.reading.key) if training.reading else None
    return (training.reading, key) if training.reading is not None and key else None


def spending(
    trainings: Sequence[Training], unit: str, delta: float, accountant: AccountantName, own: Sequence[Mechanism] = ()
) -> Spending:
    """The bound for one unit that all the trainings, and the mechanisms `own`, may have read."""
    held = tuple(trainings)
    mechanisms = list(own)
    for each in held:
        why = not_counted(each, unit)
        if why:
            return Spending(math.inf, delta, accountant, held, f"{each.name}: {why}")
    try:
        mechanisms += [each.mechanism(group_of(each, unit)) for each in held if each.steps]
        if not mechanisms:
            return Spending(0.0, delta, accountant, held)
        claimed = claim_all(mechanisms, delta, accountant)
    except (AccountingError, SamplingError) as error:
        return Spending(math.inf, delta, accountant, held, str(error))
    return Spending(claimed.epsilon, delta, claimed.accountant, held)


def not_counted(training: Training, unit: str) -> str:
    """Why a training has no bound for `unit`; '' where it has one."""
    if training.unbounded:
        return training.unbounded
    header = training.header
    if unit == EACH_RECORD or header is None or not training.steps or (header.unit == unit and header.group):
        return ""
    return f"protects {header.unit}, not {unit}"


def group_of(training: Training, unit: str) -> int:
    """Most records that one unit has in a training; single records are protected by any unit's noise."""
    header = training.header
    return 1 if unit == EACH_RECORD or header is None or header.group is None else header.group


def _group_exposures(
    group: list[Training], unknown: list[Training], delta: float | None, accountant: AccountantName
) -> list[Exposure]:
    readings = [_reading(each) for each in group]
    together = any(each.pairs for each in readings)
    sets = holders_by_digest([each.texts for each in readings], together)
    made = [_exposure(group, sets, EACH_RECORD, unknown, delta, accountant)]
    units = sorted({each.header.unit for each in group if each.header} - {EACH_RECORD})
    # who shares a text with whom is not told by digests of units, so all that are joined count for a user
    everybody = frozenset(range(len(group)))
    made += [_exposure(group, [everybody], unit, unknown, delta, accountant) for unit in units]
    return made


def _exposure(
    group: Sequence[Training],
    sets: Sequence[Holders],
    unit: str,
    unknown: Sequence[Training],
    delta: float | None,
    accountant: AccountantName,
) -> Exposure:
    at = delta or _delta_of([*group, *unknown])
    bounds = [spending([group[index] for index in sorted(held)], unit, at, accountant) for held in sets]
    worst = max(bounds, key=lambda each: each.epsilon, default=Spending(0.0, at, accountant, ()))
    more = [spending([*each.trainings, *unknown], unit, at, accountant) for each in bounds] if unknown else []
    digests = [each.reading.texts for each in group if each.reading is not None]
    shares = tuple(
        Share(
            each,
            shared_texts(digests, index) if len(digests) == len(group) else 0,
            spending([each], unit, at, accountant).epsilon,
        )
        for index, each in enumerate(group)
    )
    with_unknown = max(more, key=lambda each: each.epsilon, default=None)
    if unknown and with_unknown is None:
        with_unknown = spending(unknown, unit, at, accountant)
    return Exposure(shares, unit, worst, tuple(unknown), with_unknown)


def _delta_of(trainings: Sequence[Training]) -> float:
    """The strictest that one of them claims."""
    return min((each.header.delta for each in trainings if each.header), default=1e-5)


def _reading(training: Training) -> Reading:
    assert training.reading is not None
    return training.reading
