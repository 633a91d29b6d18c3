"""Over-long texts are cut as the tokenizer cuts them, whatever their company."""

from __future__ import annotations

from unittest.mock import patch

import pytest

from harness.api.scorer import TextRequest
from harness.scorer.tokenization import texts
from harness.scorer.tokenization.texts import tokenise
from tests.scoring import load
from tests.tiny import KINDS

MOST = 9
LONG = [
    TextRequest("i hated the very bad plot and the awful acting and most of all the boring music"),
    TextRequest("good good good good good good good good good good good good [SEP] good good"),
    TextRequest("what a lovely day it was for all of us", "she said yes and then no and then yes"),
    TextRequest("short"),
    TextRequest(" ".join(["the film was good and then it was bad"] * 4)),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", ["right", "left"])
def test_cut_as_the_tokenizer_does_alone(kind: str, side: str) -> None:
    tokenizer = load(kind, "base").tokenizer
    with patch.object(tokenizer, "truncation_side", side):
        found = tokenise(tokenizer, LONG, MOST)
        for request, row in zip(LONG, found, strict=True):
            options = {"truncation": True, "max_length": MOST, "return_token_type_ids": True}
            alone = tokenizer(request.text, request.pair, **options)
            assert (row.ids, row.segments) == (alone["input_ids"], alone["token_type_ids"])
            whole = tokenizer(request.text, request.pair)["input_ids"]
            assert row.truncated == len(whole) - len(row.ids)
    assert [row.truncated > 0 for row in found] == [True, True, True, False, True]


def test_texts_are_read_once() -> None:
    tokenizer = load("bert", "base").tokenizer
    asked: list[int] = []
    call = texts._call

    def counted(tokenizer: object, requests: list[TextRequest], **options: object) -> list[texts.TextRow]:
        asked.append(len(requests))
        return call(tokenizer, requests, **options)

    with patch.object(texts, "_call", counted):
        tokenise(tokenizer, [LONG[0]] * 50, MOST)
    assert asked == [50, 1, 0]  # one of them as the tokenizer cuts it, no pair


def test_a_tokenizer_that_cuts_otherwise_is_followed() -> None:
    tokenizer = load("bert", "base").tokenizer
    expected = tokenise(tokenizer, LONG, MOST)
    with patch.object(texts, "_added_at_the_end", lambda _: 3):
        assert tokenise(tokenizer, LONG, MOST) == expected
