"""Quality against the number of records, and what each step gained: computed from the rows alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import pandas as pd

from privacy.frontier.best import Table, how_much_worse
from privacy.frontier.measure import bounds_of, by_seed, floor_of, shared_examples
from privacy.frontier.rows import Quality
from privacy.frontier.two_way import Estimate, two_way


@dataclass(frozen=True, slots=True)
class Point:
    """One size of the curve. Quality is accuracy, or nats per token."""

    size: int
    seeds: tuple[int, ...]
    by_seed: tuple[float, ...]
    """Quality of each seed's model."""
    quality: Estimate
    gained: Estimate | None
    """Accuracy of these models less that of the size before, or nats per token of those less these: above 0 where more
    records helped. None for the smallest."""
    minutes: float | None
    """Mean training time of a model."""


@dataclass(frozen=True, slots=True)
class LearningCurve:
    """What the rows of a curve say."""

    quality: Quality
    points: tuple[Point, ...]
    """Smallest first."""
    n: int
    """Examples that every model was scored on."""
    left_out: int
    """Examples that some model could not be scored on; they count for none."""
    floor: float | None
    """Accuracy of always giving the commonest class."""
    data: str
    records: int
    """Training records that there are."""
    epochs: tuple[int, ...]
    failures: Mapping[str, str]
    """Cell -> why it has no result."""


def measure(rows: pd.DataFrame, level: float = 0.95) -> LearningCurve:
    """The curve of `rows` (schema CurveRow), with intervals over seeds and examples as of a frontier.

    Raises AuditError where the models share no example.
    """
    scored = rows[rows["case_id"].notna()]
    good = scored[scored["status"] == "ok"]
    quality = Quality(rows["quality"].iloc[0])
    shared = shared_examples(good, ["size", "seed"])
    kept = good[good["case_id"].isin(shared)]
    groups = {int(str(size)): mine for size, mine in kept.groupby("size", sort=True)}
    tables = {size: by_seed(mine, quality, shared) for size, mine in groups.items()}
    before: dict[int, Table] = {size: tables[smaller] for smaller, size in pairwise(tables)}
    return LearningCurve(
        quality=quality,
        points=tuple(
            _point(size, groups[size], tables[size], before.get(size), quality, level=level) for size in tables
        ),
        n=len(shared),
        left_out=scored["case_id"].nunique() - len(shared),
        floor=floor_of(kept, quality),
        data=str(rows["data"].iloc[0]),
        records=int(rows["records"].iloc[0]),
        epochs=tuple(sorted({int(epochs) for epochs in rows["epochs"]})),
        failures={str(row["checkpoint"]): str(row["error"]) for row in rows[rows["case_id"].isna()].to_dict("records")},
    )


def _point(
    size: int, rows: pd.DataFrame, table: Table, before: Table | None, quality: Quality, *, level: float
) -> Point:
    seconds = rows.drop_duplicates("seed")["seconds"].dropna()
    seeds = tuple(sorted(table))
    return Point(
        size=size,
        seeds=seeds,
        by_seed=tuple(float(table[seed].mean()) for seed in seeds),
        quality=two_way([table[seed] for seed in seeds], level, bounds_of(quality, 0.0)),
        gained=None if before is None else how_much_worse(before, table, quality, level),
        minutes=float(seconds.mean()) / 60 if len(seconds) else None,
    )
