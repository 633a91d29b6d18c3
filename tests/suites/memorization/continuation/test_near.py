from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suites.memorization.continuation.near import bleu, edit_distance, edit_share

distance = pytest.importorskip("rapidfuzz.distance")
sacrebleu = pytest.importorskip("sacrebleu")

TOKENS = st.lists(st.integers(0, 4), max_size=14)


@given(TOKENS, TOKENS)
def test_edits_are_rapidfuzzs(first: list[int], second: list[int]) -> None:
    assert edit_distance(first, second) == distance.Levenshtein.distance(first, second)
    assert edit_share(first, second) == pytest.approx(distance.Levenshtein.normalized_distance(first, second))


@given(TOKENS, TOKENS.filter(bool))
def test_bleu_is_sacrebleus(generated: list[int], reference: list[int]) -> None:
    words = [" ".join(f"t{token}" for token in each) for each in (generated, reference)]
    theirs = sacrebleu.sentence_bleu(words[0], [words[1]], tokenize="none", use_effective_order=True)
    assert bleu(generated, reference) == pytest.approx(theirs.score / 100, abs=1e-9)


def test_by_hand() -> None:
    assert edit_distance("kitten", "sitting") == 3
    assert edit_share("kitten", "sitting") == pytest.approx(3 / 7)
    assert edit_distance("", "abc") == 3 == edit_distance("abc", "")
    assert edit_share((), ()) == 0.0
    assert edit_share((1, 2), (3, 4)) == 1.0
    assert bleu(range(50), range(50)) == pytest.approx(1.0)
    assert bleu((1, 2, 3), (4, 5, 6)) == 0.0 == bleu((), (1, 2))
