from __future__ import annotations

from typing import Any

import pytest

from suites.adversarial.faster.memo import Memo
from suites.adversarial.faster.swaps import embedding_swap, wordnet_swap
from suites.adversarial.resources.textattack_env import load_textattack
from tests.suites.adversarial.faster.stand_ins import attacked, embedding, vocabulary


def proposed(swap: Any, text: Any) -> list[tuple[str, Any, Any]]:
    return [
        (new.text, new.attack_attrs["newly_modified_indices"], type(new.attack_attrs["last_transformation"]))
        for new in swap(text)
    ]


def test_neighbours_are_stocks_in_order_and_case() -> None:
    load_textattack()
    from textattack.transformations import WordSwapEmbedding

    stock = WordSwapEmbedding(max_candidates=6, embedding=embedding())
    faster = embedding_swap(stock, Memo())
    for text in attacked():
        assert proposed(faster, text) == proposed(stock, text)
    for word in vocabulary():
        for cased in (word, word.upper(), word.capitalize(), word.swapcase()):
            assert faster._get_replacement_words(cased) == list(stock._get_replacement_words(cased))
    assert any(proposed(faster, text) for text in attacked())


def test_neighbours_are_looked_up_once_for_each_number_of_them() -> None:
    load_textattack()
    from textattack.transformations import WordSwapEmbedding

    memo, swaps = Memo(), []
    asked: list[str] = []
    for count in (2, 2, 3):
        stock = WordSwapEmbedding(max_candidates=count, embedding=embedding())
        stock._get_replacement_words = Noting(stock._get_replacement_words, asked)
        swaps.append(embedding_swap(stock, memo))
    word = embedding()._index2word[3]
    lengths = [len(swap._get_replacement_words(word)) for swap in swaps for _ in range(2)]
    assert lengths == [2, 2, 2, 2, 3, 3]
    assert asked == [word, word], "once for two neighbours, once for three"
    swaps[0]._get_replacement_words(word).clear()
    assert len(swaps[0]._get_replacement_words(word)) == 2, "what is handed out is the caller's own"


class Noting:
    """A function that writes down the words it is asked for."""

    def __init__(self, function: Any, asked: list[str]) -> None:
        self._function, self._asked = function, asked

    def __call__(self, word: str) -> Any:
        self._asked.append(word)
        return self._function(word)


class Synset:
    def __init__(self, names: list[str]) -> None:
        self._names = names

    def lemma_names(self, lang: str) -> list[str]:
        return self._names


class TinyWordNet:
    """Synonyms of every word that starts alike."""

    def langs(self) -> list[str]:
        return ["eng"]

    def synsets(self, word: str, lang: str) -> list[Synset]:
        alike = [other for other in vocabulary() if other[0] == word[0].lower()]
        return [Synset(alike[:4]), Synset([*alike[2:6], "two_words", "two words"])]


def test_synonyms_are_stocks_in_the_same_order(monkeypatch: pytest.MonkeyPatch) -> None:
    load_textattack()
    from textattack.transformations.word_swaps import word_swap_wordnet

    monkeypatch.setattr(word_swap_wordnet, "wordnet", TinyWordNet())
    monkeypatch.setattr("nltk.download", lambda *_: True)
    stock = word_swap_wordnet.WordSwapWordNet()
    faster = wordnet_swap(stock, Memo())
    found = 0
    for text in attacked():
        for _ in range(2):
            assert proposed(faster, text) == proposed(stock, text)
        found += len(proposed(stock, text))
    assert found > 500
