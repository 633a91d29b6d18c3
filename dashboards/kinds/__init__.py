"""Views of a probe's rows, found by entry point and chosen by what a probe declares."""

from dashboards.kinds.declaration import declaration
from dashboards.kinds.registry import FoundViews, draw, find_views, fitting
from dashboards.kinds.view import Column, Declaration, Measure, Shown, View

__all__ = [
    "Column",
    "Declaration",
    "FoundViews",
    "Measure",
    "Shown",
    "View",
    "declaration",
    "draw",
    "find_views",
    "fitting",
]
