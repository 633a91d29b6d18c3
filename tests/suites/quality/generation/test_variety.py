from __future__ import annotations

from suites.quality.generation.variety import distinct, ngrams, repeated


def test_by_hand() -> None:
    assert ngrams("a b c", 2) == [("a", "b"), ("b", "c")]
    assert ngrams("a", 2) == []
    assert distinct(["a b a", "b c"], 1) == (3, 5)
    assert distinct(["a b a", "a b"], 2) == (2, 3)  # a pair does not go over the end of a text
    assert repeated(["a b c d a b c d", "a b c d"]) == (1, 5 + 1)
    assert repeated(["x x x x x x"]) == (2, 3)
    assert repeated(["a b"]) == (0, 0)
