"""Every recipe, built of made-up resources and run by TextAttack's own Attack, without a network."""

from __future__ import annotations

import random
from collections import OrderedDict
from typing import Any

import nltk
import numpy as np
import pytest

from suites.adversarial.recipes import INPUT_REDUCTION, RECIPES, UNTARGETED, targeted
from suites.adversarial.resources.textattack_env import load_textattack
from tests.suites.adversarial.recipes.ingredients import (
    NEIGHBOURS,
    SENTENCES,
    STOP_WORDS,
    SYNONYMS,
    label,
    parts,
    victim,
)

WORD_SWAPS = ("textfooler", "textfooler_adjusted", "iga", "faster_genetic", "bert_attack", "bae", "pwws", "pso", "a2t")
PREMISE = "the book was boring"


def attack_of(name: str, goal: Any = UNTARGETED, budget: int = 150) -> Any:
    attack = RECIPES[name].build(parts(name), goal)
    attack.goal_function.query_budget = budget
    return attack


def run(attack: Any, text: Any, truth: int, seed: int = 0) -> Any:
    random.seed(seed)
    np.random.seed(seed)
    attack.clear_cache()
    return attack.attack(text, truth)


def drawn() -> Any:
    """The states of the generators that TextAttack draws from."""
    numpys: Any = np.random.get_state()
    return random.getstate(), list(numpys[1])


@pytest.fixture(scope="module")
def results() -> dict[str, list[Any]]:
    return {name: [run(attack_of(name), text, label(text)) for text in SENTENCES] for name in RECIPES}


@pytest.mark.parametrize("name", RECIPES)
def test_it_attacks_and_says_the_truth(name: str, results: dict[str, list[Any]]) -> None:
    for text, result in zip(SENTENCES, results[name], strict=True):
        assert result.original_result.attacked_text.text == text
        assert 1 <= result.num_queries <= 150
        final = result.perturbed_result
        assert int(final.output) == label(final.attacked_text.text)
        kind = type(result).__name__
        if RECIPES[name].reduces:
            assert kind == "MaximizedAttackResult"
            assert label(final.attacked_text.text) == label(text)
        else:
            assert kind == ("SuccessfulAttackResult" if final.output != label(text) else "FailedAttackResult")


def test_the_test_can_tell_attacks_that_work(results: dict[str, list[Any]]) -> None:
    won = {name for name, found in results.items() if any("Successful" in type(result).__name__ for result in found)}
    assert won >= {"a2t", "bae", "bert_attack", "clare", "deepwordbug", "faster_genetic", "iga", "pruthi", "textbugger"}
    asked = {name for name, found in results.items() if max(result.num_queries for result in found) > 3}
    assert asked >= set(RECIPES) - {"checklist_inv", "hotflip", "textfooler_adjusted"}


@pytest.mark.parametrize("name", WORD_SWAPS)
def test_stop_words_and_the_number_of_words_stay(name: str, results: dict[str, list[Any]]) -> None:
    for text, result in zip(SENTENCES, results[name], strict=True):
        before, after = text.split(), result.perturbed_result.attacked_text.words
        assert len(before) == len(after)
        kept = STOP_WORDS.words
        assert [new for old, new in zip(before, after, strict=True) if old in kept] == [w for w in before if w in kept]


@pytest.mark.parametrize(
    ("names", "groups"),
    [
        (("textfooler", "textfooler_adjusted", "iga", "faster_genetic", "a2t"), NEIGHBOURS),
        (("pwws", "pso"), tuple(words for groups in SYNONYMS.values() for words in groups)),
    ],
)
def test_substitutes_are_neighbours_or_synonyms(
    names: tuple[str, ...], groups: tuple[str, ...], results: dict[str, list[Any]]
) -> None:
    changed = set()
    for name in names:
        for text, result in zip(SENTENCES, results[name], strict=True):
            words = result.perturbed_result.attacked_text.words
            changed |= {pair for pair in zip(text.split(), words, strict=True) if len(set(pair)) == 2}
    assert changed
    assert all(any(set(pair) <= set(group.split()) for group in groups) for pair in changed)


@pytest.mark.parametrize("name", [name for name, recipe in RECIPES.items() if recipe.deterministic])
def test_deterministic_ones_draw_no_random_numbers(name: str, results: dict[str, list[Any]]) -> None:
    random.seed(5)
    np.random.seed(5)
    before = drawn()
    attack = attack_of(name)
    attack.clear_cache()
    again = attack.attack(SENTENCES[0], label(SENTENCES[0]))
    assert drawn() == before
    first = results[name][0]
    assert again.perturbed_result.attacked_text.text == first.perturbed_result.attacked_text.text
    assert again.num_queries == first.num_queries


@pytest.mark.parametrize("name", [name for name, recipe in RECIPES.items() if not recipe.deterministic])
def test_the_others_repeat_with_their_seed(name: str, results: dict[str, list[Any]]) -> None:
    again = run(attack_of(name), SENTENCES[0], label(SENTENCES[0]))
    first = results[name][0]
    assert again.perturbed_result.attacked_text.text == first.perturbed_result.attacked_text.text
    assert again.num_queries == first.num_queries


@pytest.mark.parametrize("name", [name for name, recipe in RECIPES.items() if recipe.targeted])
def test_targeted_ones_are_after_the_class(name: str) -> None:
    other = 1 - label(SENTENCES[0])
    attack = attack_of(name, targeted(other), budget=60)
    assert type(attack.goal_function).__name__ == "TargetedClassification"
    result = run(attack, SENTENCES[0], label(SENTENCES[0]))
    won = "Successful" in type(result).__name__
    assert won == (int(result.perturbed_result.output) == other)


@pytest.mark.parametrize("name", [name for name, recipe in RECIPES.items() if recipe.pairs])
def test_pairs_are_attacked_and_some_spare_the_premise(name: str) -> None:
    pair = OrderedDict([("premise", PREMISE), ("hypothesis", SENTENCES[1])])
    truth = int(victim(name)([(PREMISE, SENTENCES[1])])[0].argmax())
    attack = attack_of(name, budget=80)
    result = run(attack, load_textattack().shared.AttackedText(pair), truth)
    final = result.perturbed_result.attacked_text.tokenizer_input
    assert isinstance(final, tuple)
    assert len(final) == 2
    if name in {"textfooler", "textfooler_adjusted", "pso", "a2t"}:
        assert final[0] == PREMISE


def test_nothing_of_nltk_or_textattack_is_left_changed() -> None:
    shared = load_textattack().shared
    before = (nltk.download, nltk.pos_tag, nltk.corpus.wordnet, nltk.corpus.stopwords)
    vectors = shared.WordEmbedding.__dict__["counterfitted_GLOVE_embedding"]
    for name in RECIPES:
        parts(name)._made.pop("TextFooler's stop words", None)
        run(attack_of(name, budget=10), SENTENCES[2], label(SENTENCES[2]))
    assert (nltk.download, nltk.pos_tag, nltk.corpus.wordnet, nltk.corpus.stopwords) == before
    assert shared.WordEmbedding.__dict__["counterfitted_GLOVE_embedding"] is vectors


def test_input_reduction_takes_its_own_goal_and_no_target() -> None:
    built = [RECIPES["input_reduction"].build(parts(), goal) for goal in (UNTARGETED, INPUT_REDUCTION)]
    assert {type(attack.goal_function).__name__ for attack in built} == {"InputReduction"}
