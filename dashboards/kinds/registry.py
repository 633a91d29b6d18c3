"""Finds views by entry point, and lets none of them end a page."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import Any

import streamlit as st
from streamlit.runtime.scriptrunner_utils.exceptions import ScriptControlException

from dashboards.kinds.view import Declaration, Shown, View
from dashboards.view_models.views import plain
from harness.base.language import _
from harness.base.plugins import PluginError, guarded, installed
from harness.errors import AssayError

VIEWS = "assay.views"
_OWN = "dashboards."


@dataclass(frozen=True, slots=True)
class FoundViews:
    """Views in the order they are shown, and the entry points that could not be used, each with its reason."""

    views: tuple[View, ...]
    errors: Mapping[str, str]


def find_views(points: Iterable[EntryPoint] | None = None) -> FoundViews:
    """Every registered view; `points` stands in for the installed entry points in tests."""
    found = installed(VIEWS, _checked, points, first=_OWN)
    return FoundViews(tuple(sorted(found.plugins.values(), key=lambda view: (view.place, view.name))), found.errors)


def fitting(views: Iterable[View], declared: Declaration) -> tuple[list[View], list[str]]:
    """Views that fit what a probe declares, in order, and why others could not be asked."""
    fit: list[View] = []
    failed: list[str] = []
    for view in views:
        try:
            if guarded(lambda view=view: bool(view.fits(declared))):  # type: ignore[misc]
                fit.append(view)
        except PluginError as error:
            failed.append(f"{view.name}: {error}")
    return fit, failed


def draw(view: View, shown: Shown) -> None:
    """Draw a view; where it fails the page says so and goes on."""
    try:
        view.draw(shown)
    except (KeyboardInterrupt, ScriptControlException):  # Streamlit's own way to stop and to run again
        raise
    except AssayError as error:
        st.error(plain(str(error)), icon=":material/broken_image:")
    except BaseException as error:  # a plug-in may raise anything; a panic of a Rust library is no Exception
        said = f"{type(error).__name__}: {error}"
        st.error(plain(_("The view {name} failed: {why}", name=view.name, why=said)), icon=":material/broken_image:")


def _checked(_point: EntryPoint, kind: Any) -> tuple[str, View]:
    if not (isinstance(kind, type) and issubclass(kind, View)):
        raise TypeError(f"{kind!r} is not a subclass of {View.__module__}.{View.__qualname__}")
    name = getattr(kind, "name", "")
    if not re.fullmatch(r"[a-z][a-z0-9_-]*", str(name)):
        raise TypeError(f"{kind.__name__} has no name of lower-case letters, digits, - and _: {name!r}")
    return name, kind()
