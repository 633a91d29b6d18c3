from __future__ import annotations

import itertools

import pytest

from suites.adversarial.faster.order import COSTS, cheap_first
from suites.adversarial.resources.textattack_env import load_textattack


def order(line: str) -> str:
    """Letters are constraints: digits by their rank, others unknown."""
    return "".join(cheap_first(line, lambda letter: int(letter) if letter.isdigit() else None))


@pytest.mark.parametrize(
    ("given", "expected"),
    [("", ""), ("0123", "0123"), ("3210", "0123"), ("2x10", "2x01"), ("x", "x"), ("31xy20z1", "13xy02z1")],
)
def test_cheap_ones_come_first_and_do_not_pass_unknown_ones(given: str, expected: str) -> None:
    assert order(given) == expected


def test_equal_ones_keep_their_order() -> None:
    pairs = [(3, "a"), (0, "b"), (3, "c"), (0, "d")]
    for given in itertools.permutations(pairs):
        ordered = cheap_first(given, lambda pair: pair[0])
        assert ordered == sorted(given, key=lambda pair: pair[0])


def test_the_classes_are_there_under_these_names() -> None:
    load_textattack()
    from textattack.constraints import grammaticality, overlap, semantics

    from suites.adversarial.recipes import components

    classes = (
        overlap.LevenshteinEditDistance,
        overlap.MaxWordsPerturbed,
        semantics.WordEmbeddingDistance,
        grammaticality.PartOfSpeech,
        components.ResourcePartOfSpeech,
    )
    assert {f"{one.__module__}.{one.__qualname__}" for one in classes} == set(COSTS)
