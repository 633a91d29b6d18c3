from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch

from suites.adversarial.faster.masked_lm import masked_insertion, masked_merge, masked_swap
from suites.adversarial.faster.memo import Memo
from suites.adversarial.resources.textattack_env import load_textattack
from tests.scoring import load
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


def transformation(name: str, kind: str = "bert", *, padding_side: str = "right", **settings: Any) -> Any:
    """A stock transformation by a tiny random model that reads 16 tokens."""
    loaded = load(kind, "masked_lm")
    tokenizer = copy.deepcopy(loaded.tokenizer)
    tokenizer.padding_side = padding_side
    make = getattr(load_textattack().transformations, name)
    settings = {"max_length": 16, "max_candidates": 5, "min_confidence": 2e-3, "batch_size": 4, **settings}
    return make(masked_language_model=loaded.model.eval(), tokenizer=tokenizer, **settings)


class Counting(torch.nn.Module):
    """A model that keeps the shapes of what it reads."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model, self.config = model, model.config
        self.shapes: list[tuple[int, ...]] = []

    def forward(self, **inputs: Any) -> Any:
        self.shapes.append(tuple(inputs["input_ids"].shape))
        return self.model(**inputs)


def proposed(change: Any, text: Any) -> list[str]:
    return [new.text for new in change(text)]


def same_proposals(stock: Any, make: Make, least: int) -> None:
    """Over all texts, twice: from the model and from the memo."""
    faster, total = make(stock, Memo()), 0
    for text in attacked(TEXTS):
        expected = proposed(stock, text)
        assert proposed(faster, text) == expected
        assert proposed(faster, text) == expected
        total += len(expected)
    assert total > least


@pytest.mark.parametrize("kind", ["bert", "roberta", "electra"])
@pytest.mark.parametrize("padding_side", ["right", "left"])
def test_bae_swaps_are_stocks(kind: str, padding_side: str) -> None:
    same_proposals(transformation("WordSwapMaskedLM", kind, padding_side=padding_side, method="bae"), masked_swap, 60)


@pytest.mark.parametrize(("most", "least_sure"), [(1, 0.0), (500, 1e-2), (3, 0.2), (8, 1.0)])
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
@pytest.mark.parametrize("padding_side", ["right", "left"])
def test_bert_attack_swaps_are_stocks(kind: str, padding_side: str) -> None:
    stock = transformation("WordSwapMaskedLM", kind, padding_side=padding_side, method="bert-attack", max_candidates=3)
    same_proposals(stock, masked_swap, 15)


def test_bert_attack_where_a_word_alone_has_more_sub_words_than_in_its_text(monkeypatch: pytest.MonkeyPatch) -> None:
    stock = transformation("WordSwapMaskedLM", method="bert-attack", max_candidates=2)
    encode = stock._lm_tokenizer.encode
    stock._lm_tokenizer.encode = lambda text, **settings: encode(text, **settings) + [5] * 5
    (text,) = attacked(["one two three"])
    faster, expected = masked_swap(stock, Memo()), proposed(stock, text)
    assert len(expected) == 6
    assert proposed(faster, text) == expected


def test_bert_attack_stops_at_the_first_combinations() -> None:
    stock = transformation("WordSwapMaskedLM", method="bert-attack", max_candidates=48)
    (text,) = attacked(["extraordinarily"])  # 15 sub-words, 48 ** 15 combinations
    assert len(proposed(masked_swap(stock, Memo()), text)) <= 48


@pytest.mark.parametrize("method", ["bae", "bert-attack"])
def test_nothing_to_modify(method: str) -> None:
    stock = transformation("WordSwapMaskedLM", method=method)
    (text,) = attacked(["one two"])
    assert masked_swap(stock, Memo())(text, indices_to_modify=[]) == []


def test_texts_are_read_once_and_without_padding_to_the_end() -> None:
    stock = transformation("WordSwapMaskedLM", method="bae")
    stock._language_model = model = Counting(stock._language_model)
    memo, (text,) = Memo(), attacked(["one two three"])
    for _ in range(2):
        proposed(masked_swap(stock, memo), text)
    assert model.shapes == [(3, 5)]
    stock.method = "bert-attack"
    for _ in range(2):
        proposed(masked_swap(stock, memo), text)
    assert model.shapes == [(3, 5), (1, 5)]


def test_padding_stays_where_positions_hang_on_it() -> None:
    stock = transformation("WordSwapMaskedLM", padding_side="left")
    stock._language_model = model = Counting(stock._language_model)
    proposed(masked_swap(stock, Memo()), attacked(["one two three"])[0])
    assert model.shapes == [(3, 16)]


def test_models_do_not_share_what_they_said() -> None:
    memo, (text,) = Memo(), attacked(TEXTS[:1])
    for stock in (transformation("WordSwapMaskedLM"), transformation("WordSwapMaskedLM", "electra")):
        assert proposed(masked_swap(stock, memo), text) == proposed(stock, text)
