"""Which trainings may hold one and the same record: only the largest such sets decide a bound."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from privacy.budget.found import Reading
from privacy.lineage import Records
from privacy.lineage.records import DIGEST_BYTES, Digests

Holders = frozenset[int]
"""Indices of trainings."""

MOST_SETS = 16
"""Sets of trainings that are bounded one by one; where there are more, all are taken together, which is never less."""


def components(readings: Sequence[Reading]) -> list[list[int]]:
    """Indices of the readings, those that share a record (or are joined by ones that do) together; of one key each."""
    left, found = list(range(len(readings))), []
    while left:
        group, ahead = [], [left.pop(0)]
        while ahead:
            at = ahead.pop()
            group.append(at)
            near = [other for other in left if _meet(readings[at], readings[other])]
            left = [other for other in left if other not in near]
            ahead += near
        found.append(sorted(group))
    return found


def holders_by_digest(digests: Sequence[Digests], together: bool) -> list[Holders]:
    """Largest sets of trainings that read the same text (or unit).

    `together`: records may be pairs, one text of which one training read and the other text another one, so all that
    are joined count as one set.
    """
    if together or len(digests) == 1:
        return [frozenset(index for index, each in enumerate(digests) if len(each))]
    flat = [_flat(each) for each in digests]
    every, place = np.unique(np.concatenate(flat), return_inverse=True)
    bits = np.zeros((len(every), len(digests)), dtype=bool)
    owner = np.repeat(np.arange(len(digests)), [len(each) for each in flat])
    bits[place, owner] = True
    rows = np.unique(bits, axis=0) if len(every) else bits
    return largest(frozenset(np.flatnonzero(row).tolist()) for row in rows)


def holders_of_records(readings: Sequence[tuple[Reading, bytes] | None], records: Records) -> list[Holders]:
    """Largest sets of trainings that one of `records` (or one of their units) may be in.

    A reading with its key; None: nobody can tell what that training read, so it may have read each of them.
    """
    unknown = {index for index, each in enumerate(readings) if each is None}
    held: dict[int | str, set[int]] = {}
    for index, each in enumerate(readings):
        for whose in who_is_in(each, records) if each is not None else ():
            held.setdefault(whose, set()).add(index)
    found = [frozenset(unknown | indices) for indices in held.values()]
    return largest(found or [frozenset(unknown)])


def who_is_in(reading: tuple[Reading, bytes], records: Records) -> Iterable[int | str]:
    """Indices of the records, or the units where they have units, that the training read."""
    digests, key = reading
    shared = records.shared_records(key, digests.texts)
    return shared if records.units is None else records.units_among(key, digests.units, shared)


def largest(sets: Iterable[Holders]) -> list[Holders]:
    """Those that are part of no other one; one of all where they are too many."""
    ordered = sorted({each for each in sets if each}, key=lambda each: (-len(each), sorted(each)))
    kept: list[Holders] = []
    for each in ordered:
        if not any(each <= other for other in kept):
            kept.append(each)
    return kept if len(kept) <= MOST_SETS else [frozenset().union(*kept)]


def shared_texts(digests: Sequence[Digests], index: int) -> int:
    """How many texts of one training another one read too."""
    others = [_flat(each) for at, each in enumerate(digests) if at != index]
    return int(np.isin(_flat(digests[index]), np.concatenate(others)).sum()) if others else 0


def _meet(one: Reading, other: Reading) -> bool:
    if one.key != other.key:
        return False
    return any(
        bool(np.isin(_flat(ours), _flat(theirs)).any())
        for ours, theirs in ((one.texts, other.texts), (one.units, other.units))
    )


def _flat(digests: Digests) -> NDArray[np.bytes_]:
    """One value a digest; that numpy drops zeros at the end changes nothing, as all are equally long."""
    return np.ascontiguousarray(digests).view(f"S{DIGEST_BYTES}").ravel()
