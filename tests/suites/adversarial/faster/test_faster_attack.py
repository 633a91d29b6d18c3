"""Whole attacks, as stock and sped up."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from suites.adversarial.faster import Memo, speed_up
from suites.adversarial.resources.textattack_env import load_textattack, nltk_stop_words, stop_words
from tests.suites.adversarial.faster.stand_ins import SENTENCES, embedding, encoder, victim
from tests.suites.adversarial.faster.test_faster_masked_lm import transformation

Recipe = Callable[[], Any]


def built(change: Any, constraints: list[Any], search: Any) -> Any:
    textattack = load_textattack()
    goal = textattack.goal_functions.UntargetedClassification(victim())
    with nltk_stop_words(stop_words()):
        before = [
            textattack.constraints.pre_transformation.RepeatModification(),
            textattack.constraints.pre_transformation.StopwordModification(),
        ]
    return textattack.Attack(goal, [*before, *constraints], change, search)


def greedy() -> Any:
    return load_textattack().search_methods.GreedyWordSwapWIR(wir_method="delete")


def swap(count: int = 15) -> Any:
    return load_textattack().transformations.WordSwapEmbedding(max_candidates=count, embedding=embedding())


def close(**settings: Any) -> Any:
    return load_textattack().constraints.semantics.WordEmbeddingDistance(embedding=embedding(), **settings)


def same_part(**settings: Any) -> Any:
    return load_textattack().constraints.grammaticality.PartOfSpeech(**settings)


def textfooler() -> Any:
    similar = encoder(threshold=0.6, metric="angular", window_size=8, skip_text_shorter_than_window=True)
    return built(swap(), [close(min_cos_sim=0.3), same_part(), similar], greedy())


def dear_ones_first() -> Any:
    """As A2T and worse: the encoder before the tagger, and both before what is cheap."""
    overlap = load_textattack().constraints.overlap
    cheap = [overlap.MaxWordsPerturbed(max_percent=0.3), overlap.LevenshteinEditDistance(25)]
    return built(
        swap(),
        [encoder(threshold=0.6), same_part(allow_verb_noun_swap=False), close(max_mse_dist=1.4), *cheap],
        greedy(),
    )


def genetic() -> Any:
    search = load_textattack().search_methods.AlzantotGeneticAlgorithm(pop_size=4, max_iters=3)
    return built(swap(8), [encoder(threshold=0.5, compare_against_original=False), close(min_cos_sim=0.2)], search)


def bae() -> Any:
    return built(transformation("WordSwapMaskedLM"), [same_part(), encoder(threshold=0.5)], greedy())


def bert_attack() -> Any:
    change = transformation("WordSwapMaskedLM", method="bert-attack", max_candidates=2, max_length=20)
    return built(change, [load_textattack().constraints.overlap.MaxWordsPerturbed(max_percent=0.4)], greedy())


def composite() -> Any:
    transformations = load_textattack().transformations
    parts = [swap(4), transformation("WordInsertionMaskedLM", max_candidates=3)]
    search = load_textattack().search_methods.GreedySearch()
    few = load_textattack().constraints.overlap.MaxWordsPerturbed(max_percent=0.5)
    # stock's tagger crashes on a place that an insertion has moved beyond the original, where the distance refuses it
    return built(transformations.CompositeTransformation(parts), [close(min_cos_sim=0.2), same_part(), few], search)


def outcome(attack: Any, text: str) -> tuple[Any, ...]:
    """What the attack says of the text, with the same random numbers."""
    random.seed(0)
    np.random.seed(0)
    result = attack.attack(text, 1)
    final = result.perturbed_result.attacked_text
    attrs = {key: final.attack_attrs.get(key) for key in ("modified_indices", "newly_modified_indices")}
    similarity = final.attack_attrs.get("similarity_score")
    return (
        type(result).__name__,
        result.num_queries,
        final.text,
        attrs,
        sorted(final.attack_attrs),
        similarity is None or pytest.approx(similarity, abs=1e-6),
    )


@pytest.mark.parametrize("recipe", [textfooler, dear_ones_first, genetic, bae, bert_attack, composite])
def test_status_queries_and_final_text_are_stocks(recipe: Recipe, tagger: Any) -> None:
    memo, outcomes = Memo(), set()
    texts = {textfooler: SENTENCES[::2], dear_ones_first: SENTENCES[1::3]}.get(recipe, SENTENCES[:10:3])
    if recipe is bert_attack:
        texts = ("the film is not bad, but it is a big mess.", "I loved it!!!", "one two three")
    for text in texts:
        stock, faster = recipe(), recipe()
        speed_up(faster, memo)
        expected = outcome(stock, text)
        assert outcome(faster, text) == expected
        outcomes.add(expected[0])
    if recipe is not bae:  # whose made-up language model has other weights on transformers 5
        assert "SuccessfulAttackResult" in outcomes


def test_an_attack_sped_up_twice_is_the_same(tagger: Any) -> None:
    stock, faster = textfooler(), textfooler()
    for _ in range(2):
        speed_up(faster, Memo())
    for text in SENTENCES[:5]:
        assert outcome(faster, text) == outcome(stock, text)


def test_an_emptied_memo_changes_nothing(tagger: Any) -> None:
    stock, faster = textfooler(), textfooler()
    speed_up(faster, Memo(entries=3, vectors=2))
    for text in SENTENCES[:5]:
        assert outcome(faster, text) == outcome(stock, text)


def test_what_the_attack_was_made_from_is_left_alone(tagger: Any) -> None:
    attack = composite()
    change, constraints, before = attack.transformation, list(attack.constraints), repr(attack)
    parts, states = list(change.transformations), [dict(vars(one)) for one in (*constraints, *change.transformations)]
    speed_up(attack, Memo())
    assert [dict(vars(one)) for one in (*constraints, *change.transformations)] == states
    assert change.transformations == parts
    assert attack.transformation is not change
    assert [type(one) for one in attack.transformation.transformations] == [type(one) for one in parts]
    assert sorted(repr(attack).split()) == sorted(before.split())
    order = [type(one).__name__ for one in attack.constraints]
    assert order == ["MaxWordsPerturbed", "WordEmbeddingDistance", "PartOfSpeech"]


def test_unknown_classes_stay_as_they_are(tagger: Any) -> None:
    textattack = load_textattack()

    class OwnSwap(textattack.transformations.WordSwapEmbedding):  # type: ignore[misc,name-defined]
        pass

    class OwnPart(textattack.constraints.grammaticality.PartOfSpeech):  # type: ignore[misc,name-defined]
        pass

    class OwnEncoder(textattack.constraints.semantics.sentence_encoders.SentenceEncoder):  # type: ignore[misc,name-defined]
        def _score_list(self, *_: Any) -> Any:
            raise NotImplementedError

    kept = [OwnPart(), OwnEncoder(), textattack.constraints.overlap.LevenshteinEditDistance(3)]
    change = OwnSwap(embedding=embedding())
    attack = built(change, kept, greedy())
    before = list(attack.pre_transformation_constraints)
    speed_up(attack, Memo())
    assert all(one is other for one, other in zip(attack.constraints, kept, strict=True))
    assert attack.transformation is change
    assert attack.pre_transformation_constraints == before
