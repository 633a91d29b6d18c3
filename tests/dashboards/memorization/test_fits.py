"""Which rows the views of this room fit: any probe's that have their columns, whatever it is called."""

from __future__ import annotations

import pytest

from dashboards.kinds import Column, Declaration, View, find_views
from dashboards.memorization.drawn.canaries import Canaries
from dashboards.memorization.drawn.exposure import Exposure
from dashboards.memorization.drawn.extraction import Extraction
from dashboards.memorization.drawn.roc import Roc


def of(*columns: str) -> Declaration:
    return Declaration("third/probe", {name: Column(name, "double") for name in columns})


FITTING = [
    (Exposure(), ("planted", "repetitions", "exposure", "log2_space")),
    (Canaries(), ("planted", "repetitions", "exposure", "log2_space")),
    (Canaries(), ("kind", "label", "score", "planted")),
    (Extraction(), ("side", "document", "matched", "chance")),
    (Roc(), ("member", "rmia")),
]


@pytest.mark.parametrize(("view", "columns"), FITTING)
def test_a_view_fits_rows_of_its_shape_and_no_others(view: View, columns: tuple[str, ...]) -> None:
    assert view.fits(of("case_id", *columns))
    assert not any(view.fits(of(*(name for name in columns if name != missing))) for missing in columns)


def test_they_are_found_by_entry_point() -> None:
    assert {view.name for view, _ in FITTING} <= {view.name for view in find_views().views}
