from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from harness.api.requests.likeliest import TokensInPlace, TokensInPlaceRequest
from suites.adversarial.faster.masked_lm import AskedModel, masked_insertion, masked_merge, masked_swap
from suites.adversarial.faster.memo import Memo, twin_of
from suites.adversarial.resources.textattack_env import load_textattack
from tests.scoring import load, scorer
from tests.suites.adversarial.faster.stand_ins import attacked

Make = Callable[[Any, Memo], Any]
TEXTS = (
    "the film is not bad, but it is not the best story of the year.",
    "I loved it!!! my doctor and the nurse hated it...",
    "Good",
    "one two three",
    "the cat's a bit odd - would you see it again?",
    "a man and a woman and a boy and a girl and a child and a house and a life",
)
"""Words the tiny tokenizer knows, a few it splits, and a text that is cut off."""
NOTHING = TokensInPlace(np.empty((0, 0), np.int32), np.empty((0, 0), np.float32), "out of memory")


def transformation(name: str, kind: str = "bert", *, padding_side: str = "right", **settings: Any) -> Any:
    """A stock transformation by a tiny random model that reads 16 tokens."""
    loaded = load(kind, "masked_lm")
    tokenizer = copy.deepcopy(loaded.tokenizer)
    tokenizer.padding_side = padding_side
    make = getattr(load_textattack().transformations, name)
    settings = {"max_length": 16, "max_candidates": 5, "min_confidence": 2e-3, "batch_size": 4, **settings}
    return make(masked_language_model=loaded.model.eval(), tokenizer=tokenizer, **settings)


def asked(stock: Any, told: list[TokensInPlaceRequest] | None = None) -> Any:
    """The same with a model that is asked through a scorer; `told` gets what it is asked."""
    kind, twin = stock._language_model.config.model_type, twin_of(stock)

    def answers(requests: Sequence[TokensInPlaceRequest]) -> list[TokensInPlace]:
        if told is not None:
            told.extend(requests)
        return scorer(kind, "masked_lm").ask(requests)

    twin._language_model = AskedModel(kind, answers)
    return twin


def proposed(change: Any, text: Any) -> list[str]:
    return [new.text for new in change(text)]


def same_proposals(stock: Any, make: Make, least: int) -> None:
    """Over all texts, twice: from the model and from the memo."""
    faster, total = make(asked(stock), Memo()), 0
    for text in attacked(TEXTS):
        expected = proposed(stock, text)
        assert proposed(faster, text) == expected
        assert proposed(faster, text) == expected
        total += len(expected)
    assert total > least


@pytest.mark.parametrize("kind", ["bert", "roberta", "electra"])
def test_bae_swaps_are_stocks(kind: str) -> None:
    same_proposals(transformation("WordSwapMaskedLM", kind, method="bae"), masked_swap, 60)


@pytest.mark.parametrize("method", ["bae", "bert-attack"])
def test_a_tokenizer_that_pads_on_the_left_moves_nothing(method: str) -> None:
    right, left = (transformation("WordSwapMaskedLM", padding_side=side, method=method) for side in ("right", "left"))
    for text in attacked(TEXTS):
        assert proposed(masked_swap(asked(left), Memo()), text) == proposed(right, text)


@pytest.mark.parametrize(("most", "least_sure"), [(1, 0.0), (500, 1e-2), (3, 0.2), (8, 1.0), (60, 0.0), (500, 0.0)])
def test_limits_of_candidates(most: int, least_sure: float) -> None:
    stock = transformation("WordSwapMaskedLM", max_candidates=most, min_confidence=least_sure)
    same_proposals(stock, masked_swap, -1)


@pytest.mark.parametrize("window", [5, float("inf")])
@pytest.mark.parametrize("name", ["WordInsertionMaskedLM", "WordMergeMaskedLM"])
def test_insertions_and_merges_are_stocks(name: str, window: float, monkeypatch: pytest.MonkeyPatch) -> None:
    tags = ("ADJ", "NOUN", "NOUN", "DET", "VERB")
    text_class = load_textattack().shared.AttackedText
    monkeypatch.setattr(text_class, "pos_of_word_index", lambda self, i: tags[(i + len(self.words[i])) % 5])
    make = {"WordInsertionMaskedLM": masked_insertion, "WordMergeMaskedLM": masked_merge}[name]
    same_proposals(transformation(name, window_size=window), make, 40)


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_bert_attack_swaps_are_stocks(kind: str) -> None:
    stock = transformation("WordSwapMaskedLM", kind, method="bert-attack", max_candidates=3)
    same_proposals(stock, masked_swap, 15)


def test_bert_attack_where_a_word_alone_has_more_sub_words_than_its_text_has_left() -> None:
    """They end with the text, where stock goes on to its padding."""
    stock, left = transformation("WordSwapMaskedLM", method="bert-attack", max_candidates=2), {"one": 4, "two": 3}
    stock._lm_tokenizer.encode = lambda word, **_: [5] * left.get(word, 2)
    (text,) = attacked(["one two three"])  # five tokens, of which the first is [CLS]
    expected = proposed(stock, text)
    assert len(expected) == 6
    stock._lm_tokenizer.encode = lambda word, **_: [5] * 7
    assert proposed(masked_swap(asked(stock), Memo()), text) == expected


def test_bert_attack_stops_at_the_first_combinations() -> None:
    stock = transformation("WordSwapMaskedLM", method="bert-attack", max_candidates=48)
    (text,) = attacked(["extraordinarily"])  # 15 sub-words, 48 ** 15 combinations
    assert len(proposed(masked_swap(asked(stock), Memo()), text)) <= 48


@pytest.mark.parametrize("method", ["bae", "bert-attack"])
def test_nothing_to_modify(method: str) -> None:
    stock = transformation("WordSwapMaskedLM", method=method)
    (text,) = attacked(["one two"])
    assert masked_swap(asked(stock), Memo())(text, indices_to_modify=[]) == []


def test_each_text_is_asked_about_once_at_the_places_that_are_needed() -> None:
    told: list[TokensInPlaceRequest] = []
    stock = asked(transformation("WordSwapMaskedLM", method="bae"), told)
    memo, (text,) = Memo(), attacked(["one two three"])
    for _ in range(2):
        proposed(masked_swap(stock, memo), text)
    assert [(len(each.tokens), each.positions) for each in told] == [(5, (1,)), (5, (2,)), (5, (3,))]
    stock.method = "bert-attack"
    for _ in range(2):
        proposed(masked_swap(stock, memo), text)
    assert [each.positions for each in told[3:]] == [(0, 1, 2, 3, 4)]


def test_a_model_in_memory_is_left_to_stock() -> None:
    stock = transformation("WordSwapMaskedLM")
    assert masked_swap(stock, Memo()) is stock


def test_what_cannot_be_answered_is_said() -> None:
    stock = asked(transformation("WordSwapMaskedLM"))
    stock._language_model = AskedModel("bert", lambda asked: [NOTHING] * len(asked))
    with pytest.raises(ValueError, match="the masked language model gives no words: out of memory"):
        proposed(masked_swap(stock, Memo()), attacked(["one two"])[0])


def test_models_do_not_share_what_they_said() -> None:
    memo, (text,) = Memo(), attacked(TEXTS[:1])
    for stock in (transformation("WordSwapMaskedLM"), transformation("WordSwapMaskedLM", "electra")):
        assert proposed(masked_swap(asked(stock), memo), text) == proposed(stock, text)
