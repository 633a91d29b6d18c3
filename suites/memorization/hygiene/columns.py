"""Columns of every row that is of a member or of a record held out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

import pandas as pd
from pandera.typing import Series

from harness.api.columns import column, list_column
from harness.api.probe import ProbeRow
from suites.memorization.hygiene.blind import Compared, compared


class MemberRow(ProbeRow):
    """One record. Its text stays out: the rows may be read by people who must not see the training data."""

    member: Series[bool] = column("whether the record was trained on, as the manifest says")
    fixing: Series[bool] = column("whether it is of the held-out half that thresholds are fixed on, and no rate read")
    blind: Series[float] = column(
        "score by its text alone, higher: likelier a member; empty: not compared (a copy, or beyond 1,000 a side)",
        nullable=True,
    )
    blind_fold: Series[pd.Int64Dtype] = column(
        "fold that it was left out in; scores are compared within one", ge=0, nullable=True
    )
    ceiling_curve: Series[object] = list_column(
        "true-positive rates that the claim allows any attack, at the false-positive rates 1, 1.5, 2, 3, 5 and "
        "7 of each decade from 1e-5 to 1; none without a claim",
        of="double",
        absent=[],
    )


Kept = Mapping[str, Mapping[str, Any]]
"""Columns of each record but `member`, by the id of its case, as JSON holds them."""


def member_columns(ids: Sequence[str], texts: Sequence[str], members: Sequence[bool], seed: int) -> Kept:
    """What is known of records [n] before any model is asked."""
    fixed = fixing_half([key for key, member in zip(ids, members, strict=True) if not member], seed)
    found = compared(texts, members, seed)
    return {key: {"fixing": key in fixed, **_blind(each)} for key, each in zip(ids, found, strict=True)}


def as_columns(known: Mapping[str, Any]) -> dict[str, Any]:
    """Those of one record as a row has them: JSON has no NaN."""
    return {**known, "blind": math.nan if known["blind"] is None else known["blind"]}


def fixing_half(ids: Sequence[str], seed: int) -> frozenset[str]:
    """Half of the held-out records, by lot of seed and id: in whatever order they come, the same."""
    order = sorted(ids, key=lambda key: sha256(f"{seed}\0{key}".encode()).digest())
    return frozenset(order[: len(order) // 2])


def _blind(found: Compared | None) -> dict[str, float | int | None]:
    return {"blind": None if found is None else found.score, "blind_fold": None if found is None else found.fold}
