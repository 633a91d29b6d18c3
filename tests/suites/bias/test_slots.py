from __future__ import annotations

import pytest

from harness.api.needs import Need
from suites.bias.slots import differing, located
from tests.fakes import FakeScorer, make_info
from tests.scoring import scorer


@pytest.mark.parametrize(
    ("first", "second", "spans"),
    [
        ((1, 2, 3), (1, 9, 3), ((1, 2), (1, 2))),
        ((1, 2, 2, 3), (1, 2, 3), ((2, 3), (2, 2))),  # one of two equal tokens more
        ((1, 2, 3, 4), (1, 8, 9, 7, 4), ((1, 3), (1, 4))),
        ((1, 2), (1, 2), ((2, 2), (2, 2))),
        ((5, 1), (6, 1), ((0, 1), (0, 1))),
    ],
)
def test_rows_differ_between_their_common_ends(
    first: tuple[int, ...], second: tuple[int, ...], spans: tuple[tuple[int, int], tuple[int, int]]
) -> None:
    assert differing(first, second) == spans


@pytest.mark.parametrize(("kind", "head"), [("bert", "masked_lm"), ("roberta", "masked_lm"), ("gpt2", "causal_lm")])
def test_words_are_found_among_the_tokens_of_real_tokenizers(kind: str, head: str) -> None:
    asked, text = scorer(kind, head), "the woman works as a teacher."
    found = located(asked, text, [(4, 9), (21, 28)])
    assert not isinstance(found, str)
    tokens, spans = found
    assert tokens == asked.encode(text, special=False)
    shown = [asked.decode(tokens[slice(*span)]).replace(" ", "") for span in spans]
    assert shown == ["woman", "teacher"]


def test_a_word_that_is_no_token_of_its_own_is_told() -> None:
    fake = FakeScorer(make_info(Need.MASKED_LM))
    assert located(fake, "a teacher.", [(2, 9)]) == (
        "the tokenizer joins a word with its surroundings, so that it cannot be hidden alone"
    )
    assert located(fake, "a  b", [(2, 3)]) != ""
    assert located(fake, "a b", [(1, 2)]) == "the tokenizer makes no token of a word"
