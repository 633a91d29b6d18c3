from __future__ import annotations

import random
import threading
from typing import Any

import pytest

from suites.adversarial.faster.perceptron import ContextTagger
from tests.suites.adversarial.faster.stand_ins import PENN, attacked, made_up_tagger, vocabulary


def expected(tagger: Any, before: list[str], words: list[str], after: list[str]) -> list[str]:
    """As TextAttack asks: the tag of the first word that equals the one put in."""
    found = []
    for word in words:
        context = [*before, word, *after]
        found.append(tagger.tag(context)[context.index(word)][1])
    return found


def test_tags_are_those_of_nltk_at_every_place() -> None:
    tagger = made_up_tagger()
    ours, chance, seen = ContextTagger(tagger), random.Random(0), set()
    for text in attacked():
        for place in range(len(text.words)):
            before, after = text.words[max(0, place - 4) : place], text.words[place + 1 : place + 4]
            words = [text.words[place], *chance.sample(vocabulary(), 6), *before, *after[:1], "1984", "2nd", "a-b"]
            tags = ours.tags(before, words, after)
            assert tags == expected(tagger, before, words, after)
            seen.update(tags)
    assert seen == set(PENN)


def test_one_word_and_a_long_context() -> None:
    tagger = made_up_tagger()
    ours = ContextTagger(tagger)
    assert ours.tags([], ["x1"], []) == expected(tagger, [], ["x1"], [])
    before, after = list(vocabulary()[:9]), list(vocabulary()[9:14])
    words = [*before, "x2", "film", "film"]
    assert ours.tags(before, words, after) == expected(tagger, before, words, after)
    assert ours.tags(before, [], after) == []


def test_more_features_than_first_fit() -> None:
    tagger = made_up_tagger()
    ours = ContextTagger(tagger)
    words = [f"invented{at}" for at in range(700)]
    assert ours.tags(["the", "old"], words, ["dog"]) == expected(tagger, ["the", "old"], words, ["dog"])


def test_threads_share_it() -> None:
    tagger = made_up_tagger()
    ours = ContextTagger(tagger)
    words = [f"word{at}" for at in range(300)]
    found: list[list[str]] = []
    threads = [
        threading.Thread(target=lambda: found.append(ours.tags(["an", "old"], words, ["dog"]))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected(tagger, ["an", "old"], words, ["dog"])] * 4


def test_weights_for_a_tag_that_is_none_of_the_classes_do_not_count() -> None:
    tagger = made_up_tagger()
    tagger.model.weights = {"bias": {"ODD": 5.0, "NN": 1.0}, "i word old": {"JJ": 2.0}}
    assert ContextTagger(tagger).tags(["the"], ["old", "dog"], []) == ["JJ", "NN"]


def test_it_says_where_nltk_tags_in_another_way(monkeypatch: pytest.MonkeyPatch) -> None:
    tagger = made_up_tagger()
    assert ContextTagger(tagger).follows()
    stock = type(tagger)._get_features

    def one_more(self: Any, *of: Any) -> Any:
        return {**stock(self, *of), "i+3 word x": 1}

    with monkeypatch.context() as patch:
        patch.setattr(type(tagger), "_get_features", one_more)
        assert not ContextTagger(tagger).follows()
    with monkeypatch.context() as patch:
        patch.setattr(type(tagger.model), "predict", lambda self, features, return_conf=False: ("NN", None))
        assert not ContextTagger(tagger).follows()
    monkeypatch.delattr(type(tagger), "normalize")
    assert not ContextTagger(made_up_tagger()).follows()
