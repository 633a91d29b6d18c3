"""Entities by hand, and against seqeval over tags drawn at random where it is installed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from suites.quality.token_classification.entities import Scheme, Tag, entities, read_tag, strict_entities


def tags(text: str) -> list[Tag]:
    found = [read_tag(tag) for tag in text.split()]
    assert None not in found
    return [tag for tag in found if tag is not None]


@pytest.mark.parametrize(
    ("text", "loose", "strict"),
    [
        ("B-PER I-PER O B-LOC", {("PER", 0, 1), ("LOC", 3, 3)}, {("PER", 0, 1), ("LOC", 3, 3)}),
        ("O I-PER I-PER", {("PER", 1, 2)}, set()),  # nothing began it
        ("B-PER I-LOC", {("PER", 0, 0), ("LOC", 1, 1)}, {("PER", 0, 0)}),
        ("B-PER B-PER", {("PER", 0, 0), ("PER", 1, 1)}, {("PER", 0, 0), ("PER", 1, 1)}),
        ("B I O I", {("_", 0, 1), ("_", 3, 3)}, {("_", 0, 1)}),  # tags without a type
        ("O O", set(), set()),
        ("B-A-B I-A-B", {("A-B", 0, 1)}, {("A-B", 0, 1)}),
    ],
)
def test_entities_by_hand(text: str, loose: set[Any], strict: set[Any]) -> None:
    assert entities(tags(text)) == loose
    assert strict_entities(tags(text), Scheme.IOB2) == strict


def test_an_entity_of_iobes_needs_its_end() -> None:
    assert strict_entities(tags("B-A I-A E-A S-B B-A I-A O"), Scheme.IOBES) == {("A", 0, 2), ("B", 3, 3)}
    assert strict_entities(tags("B-A L-A U-B"), Scheme.BILOU) == {("A", 0, 1), ("B", 2, 2)}
    assert entities(tags("B-A L-A U-B")) == {("A", 0, 1), ("B", 2, 2)}


@pytest.mark.parametrize("tag", ["NOUN", "LABEL_0", "B-", "O-PER", "", "X-PER"])
def test_what_is_no_tag_is_told(tag: str) -> None:
    assert read_tag(tag) is None


@pytest.mark.parametrize(("places", "scheme"), [("BI", "IOB2"), ("BIES", "IOBES"), ("BILU", "BILOU")])
def test_both_readings_are_those_of_seqeval(places: str, scheme: str) -> None:
    """Of 3,000 sequences with every kind of mistake; seqeval's default reading has no L and U."""
    labeling = pytest.importorskip("seqeval.metrics.sequence_labeling")
    schemes = pytest.importorskip("seqeval.scheme")
    rng = np.random.default_rng(0)
    known = ["O", *(f"{place}-{kind}" for place in places for kind in ("X", "Y"))]
    for _ in range(3000):
        drawn = [known[at] for at in rng.integers(0, len(known), rng.integers(1, 9))]
        mine = tags(" ".join(drawn))
        if scheme != "BILOU":
            assert entities(mine) == set(labeling.get_entities(drawn)), drawn
        theirs = {
            (each.tag, each.start, each.end - 1)
            for sentence in schemes.Entities([drawn], getattr(schemes, scheme)).entities
            for each in sentence
        }
        assert strict_entities(mine, Scheme(scheme)) == theirs, drawn
