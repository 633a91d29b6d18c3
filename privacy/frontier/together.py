"""What it costs to choose among the models of a grid: all of them, composed.

A model that is kept because of how it and the others came out depends on the records through every one of them, so the
guarantee is that of all trainings together. The cheaper bound for hyper-parameter search (Papernot & Steinke 2022,
arXiv 2110.03620; RepeatAndSelectDpEvent of dp_accounting) holds for a number of repetitions drawn at random, each with
settings drawn at random; a grid that is fixed before is no such search.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pandas as pd

from privacy.accounting import AccountantName, AccountingError, Mechanism, claim_all


@dataclass(frozen=True, slots=True)
class Together:
    """The private models of a grid, as one release."""

    models: int
    mechanisms: tuple[Mechanism, ...]
    """Of each; fewer than `models` where the rows do not say what some released."""
    delta: float


def together(rows: pd.DataFrame) -> Together | None:
    """From the rows of a grid; None where no model is private."""
    cells = rows[rows["case_id"].notna()].drop_duplicates("checkpoint")
    private = cells[cells["delta"].notna()]
    if private.empty:
        return None
    known = private.dropna(subset=["noise_multiplier", "sample_rate", "compositions", "group"])
    mechanisms = tuple(_released(row) for row in known.to_dict("records"))
    return Together(len(private), mechanisms, float(private["delta"].min()))


def _released(row: Mapping[Hashable, Any]) -> Mechanism:
    capped, in_bins = (not pd.isna(row[name]) for name in ("max_batch", "bins"))
    return Mechanism(
        float(row["noise_multiplier"]),
        1 / int(row["bins"]) if in_bins else float(row["sample_rate"]),
        int(row["compositions"]),
        int(row["group"]),
        max_batch=int(row["max_batch"]) if capped else None,
        records=int(row["records"]) if capped else None,
        bins=int(row["bins"]) if in_bins else 1,
    )


@lru_cache(maxsize=8)
def epsilon_together(all_of: Together, accountant: AccountantName) -> float | None:
    """Upper bound on epsilon of all models together, at their smallest delta; None: nobody can tell."""
    if len(all_of.mechanisms) < all_of.models:
        return None
    try:
        return claim_all(all_of.mechanisms, all_of.delta, accountant).epsilon
    except AccountingError:
        return None
