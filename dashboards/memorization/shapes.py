"""Which rows each part of the page can be made of, told by the names of their columns: any probe's that has them."""

from __future__ import annotations

from collections.abc import Collection

EXPOSURE = ("planted", "repetitions", "exposure", "log2_space")
EXTRACTION = ("side", "document", "matched", "chance")
MEMBERSHIP = ("member",)
CANARIES = ("kind", "label", "score", "planted")
SIGNALS = {
    "loss": -1.0,
    "log_odds": 1.0,
    "zlib": 1.0,
    "min_k": 1.0,
    "min_k_pp": 1.0,
    "calibrated": 1.0,
    "neighbours": 1.0,
    "lira": 1.0,
    "lira_offline": 1.0,
    "rmia": 1.0,
}
"""Columns that tell members, and which way: 1 where a higher one is likelier a member's, -1 where a lower one is."""


def has(columns: Collection[str], shape: Collection[str]) -> bool:
    """Whether rows with these columns have a shape."""
    return all(column in columns for column in shape)


def tells_members(columns: Collection[str]) -> bool:
    """Whether a curve of true against false positives can be made of them."""
    return has(columns, MEMBERSHIP) and any(signal in columns for signal in SIGNALS)
