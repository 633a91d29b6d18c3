"""List columns of rows: lists of numbers or names; JSON text, as in rows of older versions, reads the same."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from harness.stats.intervals import FloatArray


def as_list(cell: Any) -> list[Any]:
    """A cell as a list, its own lists as lists; empty where it has none."""
    if cell is None or (isinstance(cell, float) and np.isnan(cell)) or cell is pd.NA:
        return []
    if isinstance(cell, str):
        found = json.loads(cell)
        return found if isinstance(found, list) else []
    return [as_list(each) if isinstance(each, np.ndarray) else each for each in _plain(cell)]


def is_list(cell: Any) -> bool:
    """Whether a cell holds a list as such, not as text."""
    return isinstance(cell, list | tuple | np.ndarray)


def as_matrix(cells: Sequence[Any] | pd.Series[Any]) -> FloatArray:
    """[n, k] of cells with a list of k numbers each."""
    if len(cells) and all(isinstance(cell, np.ndarray) and cell.dtype != object for cell in cells):
        return np.stack([*cells]).astype(np.float64)  # as read from parquet: a million rows in a second
    return np.array([as_list(cell) for cell in cells], dtype=np.float64)


def _plain(cell: Any) -> list[Any]:
    if isinstance(cell, np.ndarray) and cell.dtype != object:
        return list(cell.tolist())
    return list(cell)
