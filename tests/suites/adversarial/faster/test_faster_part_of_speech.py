from __future__ import annotations

import importlib
from typing import Any

import pytest

from suites.adversarial.faster.memo import Memo
from suites.adversarial.faster.part_of_speech import tag_together
from suites.adversarial.resources.textattack_env import load_textattack
from tests.suites.adversarial.faster.stand_ins import attacked, survivors, swaps


def part_of_speech(**settings: Any) -> Any:
    load_textattack()
    from textattack.constraints.grammaticality import PartOfSpeech

    return PartOfSpeech(**settings)


@pytest.mark.parametrize(
    "settings",
    [{}, {"allow_verb_noun_swap": False}, {"tagset": None}, {"compare_against_original": False}],
    ids=["universal", "strict", "penn", "previous"],
)
def test_decisions_are_stocks(tagger: Any, settings: dict[str, Any]) -> None:
    constraint, memo = part_of_speech(**settings), Memo()
    faster = tag_together(constraint, memo)
    assert faster is not constraint
    kept = lost = 0
    for text in attacked():
        candidates = swaps(text, 25)
        left = survivors(constraint, candidates, text)
        assert survivors(faster, candidates, text) == left
        assert [faster(candidate, text) for candidate in candidates[:5]] == [
            constraint(candidate, text) for candidate in candidates[:5]
        ]
        kept += len(left)
        lost += len(candidates) - len(left)
    assert min(kept, lost) > 50


def test_a_reference_of_other_words(tagger: Any) -> None:
    constraint = part_of_speech()
    faster = tag_together(constraint, Memo())
    for text in attacked():
        for parent in swaps(text, 2, seed=3):
            candidates = swaps(parent, 10)
            assert survivors(faster, candidates, text) == survivors(constraint, candidates, text)


def test_several_modified_words(tagger: Any) -> None:
    constraint = part_of_speech()
    faster = tag_together(constraint, Memo())
    (text,) = attacked(["the plot is paper-thin but the acting is top-notch"])
    candidates = swaps(text, 30)
    for candidate in candidates:
        candidate.attack_attrs["newly_modified_indices"] = {0, 2, 3, *candidate.attack_attrs["newly_modified_indices"]}
    assert survivors(faster, candidates, text) == survivors(constraint, candidates, text)


def test_nothing_is_tagged_twice_by_attacks_that_share_a_memo(tagger: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    memo, (text,) = Memo(), attacked(["the director's cut of the directors' cut"])
    survivors(tag_together(part_of_speech(), memo), swaps(text, 30), text)

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("tagged again")

    monkeypatch.setattr(type(tagger), "tag", refuse)
    second = tag_together(part_of_speech(), memo)
    assert survivors(second, swaps(text, 30), text)
    with pytest.raises(AssertionError, match="tagged again"):
        second.call_many(swaps(text, 30, seed=1), text)


def test_the_settings_have_tags_of_their_own(tagger: Any) -> None:
    memo, (text,) = Memo(), attacked(["it was the best of times, it was the worst of times"])
    for settings in ({}, {"tagset": None}, {"allow_verb_noun_swap": False}):
        constraint = part_of_speech(**settings)
        candidates = swaps(text, 30)
        assert survivors(tag_together(constraint, memo), candidates, text) == survivors(constraint, candidates, text)


def test_a_tagger_that_works_in_another_way_is_asked_itself(tagger: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tagger.model, "predict", lambda features, return_conf=False: ("VB", None))
    monkeypatch.setattr(tagger, "tagdict", {})
    (text,) = attacked(["one two three"])
    candidates = swaps(text, 10)
    assert len(survivors(tag_together(part_of_speech(), Memo()), candidates, text)) == len(candidates)


def test_another_class_of_tagger_is_asked_itself(tagger: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Flat:
        def tag(self, words: list[str]) -> list[tuple[str, str]]:
            return [(word, "JJ") for word in words]

    monkeypatch.setattr(importlib.import_module("nltk.tag"), "_get_tagger", lambda lang=None: Flat())
    (text,) = attacked(["one two three"])
    candidates = swaps(text, 10)
    assert len(survivors(tag_together(part_of_speech(), Memo()), candidates, text)) == len(candidates)


def test_what_stock_refuses_is_refused(tagger: Any) -> None:
    faster = tag_together(part_of_speech(), Memo())
    (text,) = attacked(["one two three"])
    (candidate, *_) = swaps(text, 3)
    candidate.attack_attrs["newly_modified_indices"] = {7}
    with pytest.raises(IndexError):
        faster.call_many([candidate], text)
    del candidate.attack_attrs["newly_modified_indices"]
    with pytest.raises(KeyError, match="newly_modified_indices"):
        faster.call_many([candidate], text)


def test_other_taggers_than_nltks_stay(tagger: Any) -> None:
    constraint = part_of_speech()
    constraint.tagger_type = "flair"
    assert tag_together(constraint, Memo()) is constraint
