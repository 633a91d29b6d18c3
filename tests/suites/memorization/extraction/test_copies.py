"""Copies of a suffix in the training text: counted directly, by an index, and by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import UsageError
from privacy.corpus.index import Coding, build_index
from suites.memorization.extraction.copies import bucket_of, count_in, counter, suffix_text, text_index
from tests.scoring import scorer


def test_buckets() -> None:
    names = {0: "0 copies", 1: "1 copy", 2: "2-3 copies", 3: "2-3 copies", 4: "4-7 copies", 7: "4-7 copies"}
    assert {copies: bucket_of(copies) for copies in names} == names
    assert bucket_of(8) == bucket_of(900) == "8+ copies"


def test_both_ways_count_what_is_there(tmp_path: Path) -> None:
    texts = ["aaa b", "b aaaa", "a", "xa", "a b"]
    wanted = {"overlapping": "aa", "none": "zz", "across documents": "b b", "at the end": "a b"}
    expected = {"overlapping": 5, "none": 0, "across documents": 0, "at the end": 2}
    assert count_in(texts, wanted) == expected
    build_index(texts, tmp_path / "index")
    count = counter(text_index(str(tmp_path / "index")))
    assert {key: count(text) for key, text in wanted.items()} == expected


def test_an_index_of_tokens_is_refused(tmp_path: Path) -> None:
    build_index([(1, 2, 3)], tmp_path / "index", coding=Coding(2))
    with pytest.raises(UsageError, match="an index of token ids; make one of the text"):
        text_index(str(tmp_path / "index"))
    with pytest.raises(UsageError, match="no finished index"):
        text_index(str(tmp_path / "nothing"))


def test_a_suffix_is_spelt_as_in_its_text() -> None:
    one, text = scorer("gpt2", "causal_lm"), "the good film was a joy"
    tokens = one.encode(text, special=False)
    spelt = suffix_text(one, text, tokens[-3:])
    assert spelt is not None
    assert text.endswith(spelt)
    assert suffix_text(one, "another text", tokens[-3:]) is None
