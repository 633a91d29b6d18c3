from __future__ import annotations

import json
import re

import pytest

from dashboards.view_models.changes import changes_html


def row(**columns: object) -> dict[str, object]:
    return {
        "text": "a good film",
        "pair": None,
        "perturbed_text": "a gd film",
        "diff_spans": "[[2, 6, 2, 4]]",
        **columns,
    }


def marks(html: str) -> list[str]:
    return re.findall(r"<mark [^>]*>(.*?)</mark>", html)


def test_changed_places_are_marked_on_both_sides() -> None:
    html = changes_html(row())
    assert html is not None
    assert marks(html) == ["good", "gd"]
    assert re.sub(r"<[^>]*>", "", html) == "originala good filmchangeda gd film"


def test_both_texts_of_a_pair_are_shown_as_the_spans_count_them() -> None:
    html = changes_html(row(pair="x y", perturbed_pair="x z", diff_spans=json.dumps([[14, 15, 12, 13]])))
    assert html is not None
    assert marks(html) == ["y", "z"]


def test_a_deletion_has_a_mark_too() -> None:
    html = changes_html(row(perturbed_text="a film", diff_spans="[[2, 7, 2, 2]]"))
    assert html is not None
    assert marks(html) == ["good ", "∅"]


def test_hostile_text_stays_text() -> None:
    html = changes_html(row(text="<img src=x onerror=alert(1)>", perturbed_text="<b>", diff_spans="[[1, 4, 1, 2]]"))
    assert html is not None
    assert "<img" not in html
    assert "<b>" not in html
    assert marks(html) == ["img", "b"]


@pytest.mark.parametrize(
    "columns",
    [
        {"perturbed_text": None},
        {"diff_spans": None},
        {"diff_spans": "no json"},
        {"diff_spans": "[[1, 2]]"},
        {"diff_spans": "[1]"},
    ],
)
def test_without_two_texts_and_spans_there_is_nothing_to_show(columns: dict[str, object]) -> None:
    assert changes_html(row(**columns)) is None


def test_spans_that_leave_the_text_are_left_out() -> None:
    html = changes_html(row(diff_spans="[[2, 600, 2, 4], [0, 1, 0, 1]]"))
    assert html is not None
    assert marks(html)[0] == "a"
