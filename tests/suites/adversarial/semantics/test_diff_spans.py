"""Spans of changed words: their inverse, and that they are as small as they can be."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suites.adversarial.semantics.diff_spans import Span, apply_spans, diff_spans, spans_from_json, spans_to_json
from suites.adversarial.typos.corruptions import KINDS, corrupt

WORDS = ("good", "film", "a", "the", "don't", "well-made", "Über", "go\u200bod", "2020", "x")
MARKS = (" ", "  ", ", ", ". ", "\n", "-", "'", "")
TEXTS = st.lists(st.tuples(st.sampled_from(WORDS), st.sampled_from(MARKS)), max_size=9).map(
    lambda parts: "".join(word + mark for word, mark in parts)
)


def changes(original: str, perturbed: str) -> list[tuple[str, str]]:
    spans = diff_spans(original, perturbed)
    return [(original[span.start : span.end], perturbed[span.new_start : span.new_end]) for span in spans]


@pytest.mark.parametrize(
    ("original", "perturbed", "expected"),
    [
        ("a good film", "a good film", []),
        ("a good film", "a nice film", [("good", "nice")]),
        ("a good film", "one nice movie", [("a", "one"), ("good", "nice"), ("film", "movie")]),
        ("a good film", "a very good film", [("", "very ")]),
        ("a very good film", "a good film", [("very ", "")]),
        ("a good film", "a goodfilm", [("good film", "goodfilm")]),
        ("a wellmade film", "a well made film", [("wellmade", "well made")]),
        ("a good, film.", "a good film!", [(",", ""), (".", "!")]),
        ("I don't know", "I dont know", [("don't", "dont")]),
        ("a good film", "a go\u200bod film", [("good", "go\u200bod")]),
        ("the end", "", [("the end", "")]),
        ("", "the end", [("", "the end")]),
        ("good good good", "good bad good", [("good", "bad")]),
    ],
)
def test_what_changed(original: str, perturbed: str, expected: list[tuple[str, str]]) -> None:
    assert changes(original, perturbed) == expected


def test_offsets_count_characters_of_each_text() -> None:
    assert diff_spans("ein schöner Film", "ein wirklich guter Film") == [Span(4, 11, 4, 18)]
    assert diff_spans("a very good film", "a good movie") == [Span(2, 7, 2, 2), Span(12, 16, 7, 12)]


@given(TEXTS, TEXTS)
def test_applied_to_the_original_they_give_the_perturbed_text(original: str, perturbed: str) -> None:
    spans = diff_spans(original, perturbed)
    assert apply_spans(original, perturbed, spans) == perturbed
    assert bool(spans) == (original != perturbed)
    for before, after in pairwise(spans):
        assert original[before.end : after.start] == perturbed[before.new_end : after.new_start] != ""
    assert all(original[s.start : s.end] != perturbed[s.new_start : s.new_end] for s in spans)


@given(st.text(max_size=30), st.text(max_size=30))
def test_any_text_can_be_given(original: str, perturbed: str) -> None:
    assert apply_spans(original, perturbed, diff_spans(original, perturbed)) == perturbed


@pytest.mark.parametrize("kind", KINDS)
def test_spoilt_texts_give_one_span_per_spoilt_word(kind: str) -> None:
    text = "somewhere in the middle, the film compels, as its director experiments with harvesting great moments."
    spoilt = corrupt(text, kind, (0.5,), seed=3)[0]  # type: ignore[arg-type]  # KINDS are of that kind
    spans = diff_spans(text, spoilt.text)
    assert apply_spans(text, spoilt.text, spans) == spoilt.text
    assert len(spans) == spoilt.changed > 0


def test_the_column_holds_them_as_json() -> None:
    spans = diff_spans("a good film", "a very nice film")
    assert spans_from_json(spans_to_json(spans)) == spans
    assert json.loads(spans_to_json(spans)) == [list(span) for span in spans]
    assert spans_to_json([]) == "[]"


@pytest.mark.parametrize("spans", [[Span(2, 9, 0, 1)], [Span(0, 2, 0, 1), Span(1, 3, 1, 2)], [Span(0, 1, 0, 9)]])
def test_spans_that_do_not_fit_are_refused(spans: list[Span]) -> None:
    with pytest.raises(ValueError, match="overlaps the one before it or leaves the texts"):
        apply_spans("abc", "xyz", spans)
