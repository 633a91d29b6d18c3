"""Rows of a frontier as a grid would leave them, made up."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from privacy.frontier.rows import Quality, checked

Cells = Mapping[tuple[float, int], Sequence[Any]]
"""(epsilon, seed) -> what the model did on each example: right or wrong, or (nats, tokens)."""


def made_rows(cells: Cells, quality: Quality = Quality.ACCURACY, **fields: Any) -> pd.DataFrame:
    """Rows of these cells; None stands for an example that could not be scored; `fields` win."""
    frames = [_cell(epsilon, seed, values, quality, fields) for (epsilon, seed), values in cells.items()]
    return pd.concat(frames, ignore_index=True)


def failed_rows(epsilon: float, seed: int, reason: str, quality: Quality = Quality.ACCURACY) -> pd.DataFrame:
    """The row of a cell that failed."""
    return _checked([{"status": "error", "error": reason}], epsilon, seed, quality, {})


def _cell(
    epsilon: float, seed: int, values: Sequence[Any], quality: Quality, fields: Mapping[str, Any]
) -> pd.DataFrame:
    private = math.isfinite(epsilon)
    rows = [{"case_id": f"case{index:04d}", **_scored(value, index, quality)} for index, value in enumerate(values)]
    claim = {
        "epsilon": 0.99 * epsilon if private else math.inf,
        "delta": 1e-5 if private else None,
        "accountant": "prv" if private else None,
        "unit": "each record" if private else None,
        "noise_multiplier": 4 / epsilon if private else None,
    }
    return _checked(rows, epsilon, seed, quality, {**claim, "records": 1000, "seconds": 90.0, "weights": "w", **fields})


def _scored(value: Any, index: int, quality: Quality) -> dict[str, Any]:
    if value is None:
        return {"status": "error", "error": "too long"}
    if quality is Quality.ACCURACY:
        return {"status": "ok", "correct": bool(value), "label": index % 2}
    return {"status": "ok", "nats": value[0], "tokens": value[1]}


def _checked(
    rows: Sequence[Mapping[str, Any]], epsilon: float, seed: int, quality: Quality, fields: Mapping[str, Any]
) -> pd.DataFrame:
    about = {
        "quality": quality.value,
        "data": "/somewhere/held.jsonl",
        "checkpoint": f"eps{epsilon:g}-seed{seed}",
        "target_epsilon": epsilon,
        "seed": seed,
    }
    return checked(pd.DataFrame([{**about, **fields, **row} for row in rows]))
