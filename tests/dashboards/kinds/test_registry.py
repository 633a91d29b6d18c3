"""A view that is broken, in whatever way, costs no other and no page."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import Any

import pytest
import streamlit
from streamlit.runtime.scriptrunner_utils.exceptions import StopException

from dashboards.kinds import Column, Declaration, Shown, View, draw, find_views, fitting
from harness.errors import AuditError

HERE = "tests.dashboards.kinds.test_registry"
NUMBERS = Declaration("third/party", {"x": Column("x", "double")})


class Drawn(View):
    name = "drawn"
    place = 10

    @property
    def title(self) -> str:
        return "Drawn"

    def fits(self, declared: Declaration) -> bool:
        return declared.has("x", "double")

    def draw(self, shown: Shown) -> None:
        raise AuditError("these rows cannot be read")


class Fails(Drawn):
    name = "fails"
    place = 5

    def fits(self, declared: Declaration) -> bool:
        raise SystemExit(3)

    def draw(self, shown: Shown) -> None:
        raise SystemExit("<b>bye</b>")


class Breaks(Drawn):
    name = "breaks"

    def fits(self, declared: Declaration) -> bool:
        return True

    def draw(self, shown: Shown) -> None:
        raise ZeroDivisionError("nothing is left")


class Stops(Drawn):
    name = "stops"

    def draw(self, shown: Shown) -> None:
        raise StopException


class Nameless(Drawn):
    name = "Has Blanks"


def points(**named: str) -> list[EntryPoint]:
    return [EntryPoint(name, f"{HERE}:{value}", "assay.views") for name, value in named.items()]


def test_views_come_in_their_order_and_a_broken_one_is_named() -> None:
    found = find_views([*points(a="Drawn", b="Fails", c="Nameless", d="NUMBERS", e="Absent")])
    assert [view.name for view in found.views] == ["fails", "drawn"]
    why = dict(zip("cde", (found.errors[point] for point in sorted(found.errors)), strict=True))
    assert "no name of lower-case letters" in why["c"]
    assert "not a subclass of dashboards.kinds.view.View" in why["d"]
    assert "Absent" in why["e"]


def test_the_views_of_assay_itself_load() -> None:
    found = find_views()
    assert found.errors == {}
    assert "distribution" in [view.name for view in found.views]
    assert len({view.title for view in found.views}) == len(found.views)


def test_a_view_that_cannot_be_asked_whether_it_fits_does_not_and_is_named() -> None:
    fit, failed = fitting([Fails(), Drawn()], NUMBERS)
    assert [view.name for view in fit] == ["drawn"]
    assert failed == ["fails: called sys.exit(3)"]
    assert fitting([Drawn()], Declaration("third/party", {"x": Column("x", "string")})) == ([], [])


@pytest.mark.parametrize(
    ("view", "said"),
    [(Drawn(), "these rows cannot be read"), (Fails(), "The view fails failed: SystemExit: <b>bye</b>")],
)
def test_a_view_that_fails_is_said_on_the_page(monkeypatch: pytest.MonkeyPatch, view: View, said: str) -> None:
    errors: list[str] = []
    monkeypatch.setattr(streamlit, "error", lambda text, **_: errors.append(text))
    shown: Any = None
    draw(view, shown)
    assert [error.replace("\\", "") for error in errors] == [said]


def test_streamlit_may_stop_a_page() -> None:
    shown: Any = None
    with pytest.raises(StopException):
        draw(Stops(), shown)
