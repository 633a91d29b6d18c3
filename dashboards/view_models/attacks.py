"""View model of an attacked text: before and after, what it cost, how alike they still are; pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from dashboards.rows import RowFilter, Rows
from dashboards.view_models.changes import COLUMNS
from harness.base import numbers
from harness.base.language import _

OUTCOME, LABEL = "outcome", "label"


_OUTCOMES = frozenset(("succeeded", "failed", "skipped", "maximised", None))
"""Of every attack here: no text of a row, however few rows there are."""


def hidden(rows: Rows) -> frozenset[str]:
    """Columns whose texts somebody has to ask for; outcomes only where they are other words than those of attacks."""
    private = frozenset(rows.private())
    if OUTCOME in private and OUTCOME in rows.sortable and _OUTCOMES.issuperset(rows.choices(OUTCOME) or [""]):
        return private - {OUTCOME}
    return private


def attacked(columns: Collection[str]) -> bool:
    """Whether rows with these columns hold texts before and after an attack."""
    return OUTCOME in columns and any(column in columns for column in COLUMNS)


def wanted(outcome: Any, label: Any, contains: str) -> RowFilter:
    """Rows of an attack with this outcome and label (None: any)."""
    values = {OUTCOME: [outcome]} if outcome is not None else {}
    return RowFilter(contains=contains, values=values | ({LABEL: [label]} if label is not None else {}))


def scores(row: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Probability of the true class before and after, in words and as a number; those that were recorded."""
    named = (
        (_("probability of the true class before"), row.get("score")),
        (_("probability of the true class after"), row.get("perturbed_score")),
    )
    return [(name, float(value)) for name, value in named if isinstance(value, (int, float)) and value == value]


def facts(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Cost and likeness of one attacked text, each as name and value; what was not measured is left out."""
    shown = {
        _("outcome"): row.get("outcome"),
        _("true class"): row.get("label"),
        _("predicted before"): row.get("predicted"),
        _("predicted after"): row.get("final_predicted"),
        _("queries"): row.get("queries"),
        _("words changed"): _part(row.get("changed_words"), row.get("words")),
        _("characters edited"): row.get("edit_distance"),
        **{name: row[name] for name in row if "similarity" in name},
    }
    return [(name, _shown(value)) for name, value in shown.items() if value is not None and value == value]


def _part(part: Any, whole: Any) -> str | None:
    return None if part is None or whole is None else _("{n} of {all}", n=part, all=whole)


def _shown(value: Any) -> str:
    return numbers.number(value) if isinstance(value, float) else str(value)
