"""Quality against epsilon, and what privacy cost: computed from the rows alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from harness.errors import AuditError
from harness.stats.intervals import FloatArray
from privacy.frontier.best import Best, Fall, Table, best_of_each, falls_of, how_much_worse, mode_place
from privacy.frontier.rows import Quality
from privacy.frontier.together import Together, together
from privacy.frontier.two_way import ANY, Estimate, two_way


@dataclass(frozen=True, slots=True)
class Point:
    """One epsilon of the frontier, and one mode. Quality is accuracy, or nats per token."""

    target: float
    """inf: without differential privacy."""
    mode: str
    """What was trained of the model; '' in rows of older versions."""
    epsilon: float
    """Upper bound claimed, the largest over its seeds; inf without privacy."""
    delta: float | None
    noise_multiplier: float | None
    seeds: tuple[int, ...]
    by_seed: tuple[float, ...]
    """Quality of each seed's model."""
    quality: Estimate
    lost: Estimate | None
    """Accuracy of the models without privacy less that of these, or nats per token of these less theirs: above 0 where
    privacy cost something."""
    minutes: float | None
    """Mean training time of a model."""

    @property
    def private(self) -> bool:
        """Whether it was trained with differential privacy."""
        return math.isfinite(self.target)


@dataclass(frozen=True, slots=True)
class Frontier:
    """What the rows of a grid say."""

    quality: Quality
    points: tuple[Point, ...]
    """Mode by mode, each with its largest epsilon first; the models without privacy before them."""
    n: int
    """Examples that every model was scored on."""
    left_out: int
    """Examples that some model could not be scored on; they count for none."""
    floor: float | None
    """Accuracy of always giving the commonest class."""
    data: str
    records: int | None
    units: tuple[str, ...]
    """What the guarantees protect."""
    accountants: tuple[str, ...]
    notes: tuple[str, ...]
    """What a reader of the claims must know."""
    failures: Mapping[str, str]
    """Cell -> why it has no result."""
    best: tuple[Best, ...] = ()
    """Of each epsilon, largest first; empty unless several modes were trained with privacy."""
    falls: tuple[Fall, ...] = ()
    """Where the best got worse with more epsilon."""

    together: Together | None = None
    """The private models as one release; None: there are none."""

    @property
    def modes(self) -> tuple[str, ...]:
        """Modes trained with privacy, in the order of the points."""
        return tuple(dict.fromkeys(point.mode for point in self.points if point.private))

    @property
    def plain(self) -> Point | None:
        """The models without privacy."""
        return next((point for point in self.points if not point.private), None)


def measure(rows: pd.DataFrame, level: float = 0.95) -> Frontier:
    """The frontier of `rows` (schema FrontierRow), with intervals over seeds and examples.

    Perplexity is exp of the nats per token, a ratio of sums: it is linearised to one value per example (delta method),
    so that accuracy and perplexity get their intervals alike. Raises AuditError where the models share no example.
    """
    scored = rows[rows["case_id"].notna()]
    good = scored[scored["status"] == "ok"]
    quality = Quality(rows["quality"].iloc[0])
    shared = shared_examples(good, ["target_epsilon", "mode", "seed"])
    kept = good[good["case_id"].isin(shared)]
    groups = _groups(kept)
    tables = {key: by_seed(mine, quality, shared) for key, mine in groups.items()}
    points = [_point(mine, tables[key], quality, level) for key, mine in groups.items()]
    plain = next((table for (_, target), table in tables.items() if math.isinf(target)), None)
    points = [replace(point, lost=_lost(point, tables, plain, quality, level)) for point in points]
    private = {key: table for key, table in tables.items() if math.isfinite(key[1])}
    best = best_of_each(private, quality, level, bounds_of(quality, 0.0))
    return Frontier(
        quality=quality,
        points=tuple(points),
        n=len(shared),
        left_out=scored["case_id"].nunique() - len(shared),
        floor=floor_of(kept, quality),
        data=str(rows["data"].iloc[0]),
        records=None if good.empty else int(good["records"].iloc[0]),
        units=_distinct(kept, "unit"),
        accountants=_distinct(kept, "accountant"),
        notes=_distinct(kept, "note"),
        failures={str(row["checkpoint"]): str(row["error"]) for row in rows[rows["case_id"].isna()].to_dict("records")},
        best=best,
        falls=falls_of(best, private, quality, level),
        together=together(rows),
    )


def _groups(rows: pd.DataFrame) -> dict[tuple[str, float], pd.DataFrame]:
    """Rows by mode and target, in the order of the points."""
    modes = rows["mode"].fillna("")
    keys = sorted(
        set(zip(map(str, modes), map(float, rows["target_epsilon"]), strict=True)),
        key=lambda key: (math.isfinite(key[1]), mode_place(key[0]), -key[1]),
    )
    return {(mode, target): rows[(modes == mode) & (rows["target_epsilon"] == target)] for mode, target in keys}


def shared_examples(good: pd.DataFrame, model: list[str]) -> list[str]:
    """Examples that every model, told by the columns `model`, was scored on: all are compared on the same ones.

    Raises AuditError where there are none.
    """
    models = good.groupby(model, dropna=False).ngroups
    counts = good.groupby("case_id", sort=True).size()
    shared = [str(case) for case in counts.index[counts == models]]
    if models and not shared:
        raise AuditError("no held-out example was scored by every model; see the audits of its cells")
    return shared


def by_seed(rows: pd.DataFrame, quality: Quality, examples: Sequence[str]) -> Table:
    """One value per seed and example, whose mean over examples is the quality of the seed's model."""
    table: dict[int, FloatArray] = {}
    for seed, mine in rows.groupby("seed"):
        ordered = mine.set_index("case_id").loc[list(examples)]
        if quality is Quality.ACCURACY:
            table[int(str(seed))] = ordered["correct"].to_numpy(np.float64)
        else:
            table[int(str(seed))] = linearised(
                ordered["nats"].to_numpy(np.float64), ordered["tokens"].to_numpy(np.float64)
            )
    return table


def linearised(above: FloatArray, below: FloatArray) -> FloatArray:
    """R + (above - R below) / mean(below) with R = sum(above) / sum(below): their mean is R, and varies as R does."""
    ratio = above.sum() / below.sum()
    return np.asarray(ratio + (above - ratio * below) / below.mean())


def _point(rows: pd.DataFrame, table: Table, quality: Quality, level: float) -> Point:
    cells = rows.drop_duplicates("seed").sort_values("seed")
    values = np.stack([table[seed] for seed in cells["seed"]])
    seconds = cells["seconds"].dropna()
    return Point(
        target=float(cells["target_epsilon"].iloc[0]),
        mode=str(cells["mode"].fillna("").iloc[0]),
        epsilon=float(cells["epsilon"].max()),
        delta=_largest(cells["delta"]),
        noise_multiplier=_largest(cells["noise_multiplier"]),
        seeds=tuple(int(seed) for seed in cells["seed"]),
        by_seed=tuple(float(mean) for mean in values.mean(axis=1)),
        quality=two_way(values, level, bounds_of(quality, 0.0)),
        lost=None,
        minutes=float(seconds.mean()) / 60 if len(seconds) else None,
    )


def _lost(
    point: Point,
    tables: Mapping[tuple[str, float], Table],
    plain: Table | None,
    quality: Quality,
    level: float,
) -> Estimate | None:
    """Paired by example; by seed as well where both have the same seeds. None without anything to compare with."""
    if plain is None or not point.private:
        return None
    return how_much_worse(tables[point.mode, point.target], plain, quality, level)


def bounds_of(quality: Quality, lowest: float) -> tuple[float, float]:
    """Of accuracy, from `lowest` to 1; nats have none."""
    return (lowest, 1.0) if quality is Quality.ACCURACY else ANY


def floor_of(rows: pd.DataFrame, quality: Quality) -> float | None:
    """Accuracy of always giving the commonest class."""
    if quality is not Quality.ACCURACY or rows.empty:
        return None
    labels = rows.drop_duplicates("case_id")["label"]
    return float(labels.value_counts(normalize=True).max())


def _largest(values: pd.Series) -> float | None:
    return None if values.isna().all() else float(values.max())


def _distinct(rows: pd.DataFrame, column: str) -> tuple[str, ...]:
    return tuple(sorted(map(str, rows[column].dropna().unique())))
