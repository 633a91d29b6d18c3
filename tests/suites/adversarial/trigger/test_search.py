from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from harness.api.scorer import TextRequest
from harness.scorer.hf import HFScorer
from suites.adversarial.trigger.search import (
    Goal,
    SearchError,
    Settings,
    Side,
    find_trigger,
    random_trigger,
    slots,
    triggered,
)
from suites.adversarial.victims.writable import text_of
from tests.fakes import MASK, SPECIALS
from tests.scoring import ATOL, Array, load
from tests.suites.adversarial.bag import Bag
from tests.tiny import ENCODERS, MAX_TOKENS

WORDS = ("the", "a", "film", "story", "good", "bad", "dull", "fun", "cold", "warm", "odd", "even", "big", "small")
TEXTS = [TextRequest("the good film"), TextRequest("a warm story"), TextRequest("good fun")]
QUICK = Settings(tokens=2, candidates=3, beam=1, iterations=3, reads=10_000, seed=0)


def bag(classes: int, seed: int = 0) -> Bag:
    """Random weights; 'good' and 'warm' and 'fun' speak for class 0."""
    rng = np.random.default_rng(seed)
    weights = {word: list(rng.normal(size=classes)) for word in WORDS}
    for word in ("good", "warm", "fun"):
        weights[word][0] += 4
    return Bag(weights, [f"class {number}" for number in range(classes)])


def loss_with(scorer: Bag | HFScorer, goal: Goal, trigger: str, texts: list[TextRequest]) -> float:
    """The mean loss of the texts behind the trigger, from their probabilities."""
    answers = scorer.ask([triggered(text, trigger, "first") for text in texts])
    p = np.array([answer.probabilities for answer in answers])
    moved = p[:, goal.target] if goal.target is not None else 1 - p[:, goal.source]
    return float(-np.log(moved).mean())


@pytest.mark.parametrize("goal", [Goal(0), Goal(0, 2)])
def test_losses_are_those_of_the_probabilities(goal: Goal) -> None:
    logits = np.random.default_rng(0).normal(size=(5, 3)) * 3
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = -np.log(p[:, 2] if goal.target == 2 else 1 - p[:, 0])
    np.testing.assert_allclose(goal.losses(logits), expected)
    assert [goal.reached(label) for label in range(3)] == [False, goal.target is None, True]


@pytest.mark.parametrize("seed", range(3))
def test_with_two_classes_the_best_of_all_triggers_is_found_with_one_candidate(seed: int) -> None:
    """Every word moves the one margin by a fixed amount, so the first-order order of the words is exact."""
    scorer, goal = bag(2, seed), Goal(0)
    found = find_trigger(scorer, goal, replace(QUICK, candidates=1), TEXTS, [])
    every = {" ".join(words): loss_with(scorer, goal, " ".join(words), TEXTS) for words in product(WORDS, repeat=2)}
    assert found.text == min(every, key=lambda trigger: every[trigger])
    assert found.loss == pytest.approx(every[found.text], abs=1e-6)
    assert found.start_loss == pytest.approx(every["the the"], abs=1e-6)


@pytest.mark.parametrize("goal", [Goal(0), Goal(0, 1), Goal(0, 2)])
def test_a_wide_beam_finds_the_best_of_all_triggers(goal: Goal) -> None:
    scorer = bag(3, seed=4)
    found = find_trigger(scorer, goal, replace(QUICK, candidates=len(WORDS), beam=len(WORDS)), TEXTS, [])
    best = min(loss_with(scorer, goal, " ".join(words), TEXTS) for words in product(WORDS, repeat=2))
    assert found.loss == pytest.approx(best, abs=1e-6)
    assert found.success == np.mean(
        [goal.reached(a.label) for a in scorer.ask([triggered(t, found.text, "first") for t in TEXTS])]
    )


def test_a_search_by_gradient_beats_random_triggers_on_a_real_encoder() -> None:
    scorer = HFScorer(load("bert", "classifier"))
    words = ["the", "film", "was", "good", "and", "bad", "plot", "story", "great", "awful", "doctor", "happy"]
    rng = np.random.default_rng(0)
    texts = [TextRequest(" ".join(rng.choice(words, 8))) for _ in range(12)]
    source = int(np.bincount([answer.label for answer in scorer.ask(texts)]).argmax())
    right = [text for text, answer in zip(texts, scorer.ask(texts), strict=True) if answer.label == source]
    goal, settings = Goal(source), replace(QUICK, tokens=3, candidates=8)
    found = find_trigger(scorer, goal, settings, texts, [])
    pool = range(len(scorer.input_embeddings()))
    controls = [random_trigger(scorer, pool, 3, np.random.default_rng(seed)) for seed in range(20)]
    losses = [loss_with(scorer, goal, text_of(scorer, tokens) or "", right) for tokens in controls if tokens]
    assert len(losses) == 20
    assert found.loss < found.start_loss
    assert found.loss < min(losses)
    assert found.loss == pytest.approx(loss_with(scorer, goal, found.text, right), abs=ATOL)  # by its text, too
    again = find_trigger(HFScorer(load("bert", "classifier"), token_budget=40), goal, settings, texts, [])
    assert (again.tokens, again.reads) == (found.tokens, found.reads)


@pytest.mark.parametrize("reads", [9, 20, 41, 100])
def test_reads_are_counted_and_bounded(reads: int) -> None:
    scorer = bag(2)
    found = find_trigger(scorer, Goal(0), replace(QUICK, reads=reads), TEXTS, [])
    assert found.reads == scorer.reads <= reads
    assert found.exhausted is (reads < 100)
    unbounded = find_trigger(bag(2), Goal(0), QUICK, TEXTS, [])
    assert not unbounded.exhausted
    assert unbounded.loss <= found.loss + 1e-9


def test_special_tokens_are_never_in_a_trigger() -> None:
    scorer = bag(2)
    scorer._table[MASK] = (-50, 50)
    found = find_trigger(scorer, Goal(0), QUICK, TEXTS, [])
    assert min(found.tokens) >= len(SPECIALS)


def test_only_texts_that_are_right_are_searched_on_unless_none_is() -> None:
    scorer = bag(2)
    wrong = TextRequest("bad")
    scorer._table[scorer.encode("bad", special=False)[0]] = (-9, 9)
    assert find_trigger(scorer, Goal(0), QUICK, [*TEXTS, wrong], []).texts == 3
    assert find_trigger(scorer, Goal(0), QUICK, [wrong], []).texts == 1


def test_without_gradients_words_of_the_texts_are_tried() -> None:
    scorer, others = bag(2), [TextRequest("odd even"), TextRequest("dull")]
    settings = replace(QUICK, gradient=False, candidates=20)
    found = find_trigger(scorer, Goal(0), settings, TEXTS, others)
    words = sorted({word for text in (*TEXTS, *others) for word in text.text.split()})
    every = {pair: loss_with(scorer, Goal(0), " ".join(pair), TEXTS) for pair in product(words, repeat=2)}
    assert found.loss == pytest.approx(min(every.values()), abs=1e-6)
    assert set(found.text.split()) <= set(words)
    few = replace(settings, candidates=2, iterations=1)
    first, second = (find_trigger(bag(2), Goal(0), few, TEXTS, others) for _ in range(2))
    assert first == second
    drawn = {find_trigger(bag(2), Goal(0), replace(few, seed=seed), TEXTS, others).text for seed in range(8)}
    assert len(drawn) > 1


def test_what_cannot_be_searched_says_why() -> None:
    scorer = bag(2)
    with pytest.raises(SearchError, match="there is no text of its class to search on"):
        find_trigger(scorer, Goal(0), QUICK, [], TEXTS)
    with pytest.raises(SearchError, match="can be classified: non-finite logits"):
        find_trigger(scorer, Goal(0), QUICK, [TextRequest("broken")], [])
    short = HFScorer(load("bert", "classifier", max_tokens=4))
    with pytest.raises(SearchError, match="does not read a trigger of 5 tokens"):
        find_trigger(short, Goal(0), replace(QUICK, tokens=5), TEXTS, [])


@pytest.mark.parametrize("side", ["first", "second"])
@pytest.mark.parametrize("kind", ["bert", "roberta", "xlnet", "gpt2", "llama"])
def test_a_slot_holds_what_the_text_would_be_read_as(kind: str, side: Side) -> None:
    scorer = HFScorer(load(kind, "classifier"))
    texts = [TextRequest("the film", "the the a man"), TextRequest("was a", "a boring story")]
    if side == "first":
        texts += [TextRequest("the the a good film"), TextRequest("good " * 2 * MAX_TOKENS)]
    start = scorer.encode("the the" if kind in ENCODERS else "a a", special=False)
    assert len(start) == 2
    rng = np.random.default_rng(1)
    for _ in range(5):
        other = random_trigger(scorer, range(len(scorer.input_embeddings())), 2, rng)
        assert other is not None
        expected = scorer.inputs_of([triggered(text, text_of(scorer, other) or "", side) for text in texts])
        found = [slot.holding(other) for slot in slots(scorer, texts, start, side)]
        assert [(each.tokens, each.segments) for each in found] == [(each.tokens, each.segments) for each in expected]


def test_random_triggers_are_drawn_from_the_pool() -> None:
    scorer = bag(2)
    pool = [*range(len(SPECIALS)), *scorer.encode("odd even dull", special=False)]
    drawn = [random_trigger(scorer, pool, 3, np.random.default_rng(seed)) for seed in range(50)]
    assert {token for tokens in drawn if tokens for token in tokens} == set(pool[len(SPECIALS) :])
    assert all(tokens is not None and len(tokens) == 3 for tokens in drawn)
    assert random_trigger(scorer, [], 1, np.random.default_rng(0)) is None
    assert random_trigger(scorer, range(len(SPECIALS)), 1, np.random.default_rng(0)) is None


def test_the_bags_gradient_is_that_of_its_loss() -> None:
    """The reference that the tests above stand on, by finite differences."""
    scorer = bag(3)
    (read,) = scorer.inputs_of(TEXTS[:1])
    token = read.tokens[1]
    for goal in (Goal(0), Goal(0, 2)):
        (found,) = scorer.ask([goal.request(read, (1,))])

        def loss(step: Array, goal: Goal = goal) -> float:
            return float(goal.losses((scorer._logits(read) + step)[None])[0])

        for place in range(3):
            step = 1e-6 * np.eye(3)[place]
            assert found.gradient[0, place] == pytest.approx((loss(step) - loss(-step)) / 2e-6, abs=1e-4)
    assert token >= len(SPECIALS)
