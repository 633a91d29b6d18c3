"""SAFER's theorem against the enumeration of every sentence, and its bounds against scipy and simulation."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import pytest
from scipy.stats import beta, binomtest

from suites.adversarial.safer.bound import VoteBounds, bound_votes, losses, overlap, radius
from suites.adversarial.safer.synonym_sets import GroupSynonyms, SynonymSets

Sentence = tuple[str, ...]
Share = Mapping[Sentence, float]
CHAIN = [["aa", "bb"], ["bb", "cc"], ["cc", "dd"], ["dd", "ee"], ["ee", "ff"], ["ff", "gg"], ["gg", "hh"]]


class Sets(SynonymSets):
    """Any sets and synonyms, also ones of different sizes that no graph would give."""

    def __init__(self, sets: Mapping[str, Sequence[str]], synonyms: Mapping[str, Sequence[str]]) -> None:
        super().__init__(set_size=1)
        self._sets = sets
        self._given = synonyms

    def synonyms(self, word: str) -> tuple[str, ...]:
        return tuple(self._given[word])

    def _connected(self, word: str) -> int:
        return len(self._sets)

    def _nearest(self, word: str, k: int) -> tuple[str, ...]:
        return tuple(self._sets[word])


def made_up_sets(seed: int) -> Sets:
    """Six words with random sets of three to six words, and two synonyms each."""
    rng = np.random.default_rng(seed)
    words = ["aa", "bb", "cc", "dd", "ee", "ff"]
    sets = {w: list(dict.fromkeys([w, *rng.choice(words, rng.integers(3, 6), replace=False)])) for w in words}
    return Sets(sets, {w: list(rng.choice([o for o in words if o != w], 2, replace=False)) for w in words})


def smoothing(sets: SynonymSets, sentence: Sentence) -> Share:
    """The probability of every sentence that the smoothed classifier may draw."""
    choices = [sets.substitutes(word) for word in sentence]
    each = 1 / math.prod(len(choice) for choice in choices)
    return dict.fromkeys(itertools.product(*choices), each)


def attacks(sets: SynonymSets, sentence: Sentence, most: int) -> Iterator[Sentence]:
    """Every sentence within the attacker's reach, the original too."""
    for other in itertools.product(*((word, *sets.synonyms(word)) for word in sentence)):
        if sum(old != new for old, new in zip(sentence, other, strict=True)) <= most:
            yield other


def total_variation(first: Share, second: Share) -> float:
    return sum(abs(first.get(z, 0) - second.get(z, 0)) for z in {*first, *second}) / 2


def shares(drawn: Share, labels: Mapping[Sentence, int], classes: int) -> list[float]:
    """g(X, c) for each class."""
    return [sum(p for z, p in drawn.items() if labels[z] == label) for label in range(classes)]


def lost(sets: SynonymSets, sentence: Sentence) -> list[float]:
    return list(losses([sets.overlap(word) for word in sentence]))


# --- the overlap term -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sentence", [("aa", "dd", "ee"), ("bb", "bb", "hh"), ("cc", "ff")])
def test_with_sets_of_one_size_the_loss_is_the_greatest_total_variation(sentence: Sentence) -> None:
    sets = GroupSynonyms(CHAIN, 3)
    assert all(len(sets.substitutes(word)) == 3 for word in sentence)
    own = smoothing(sets, sentence)
    for most, expected in enumerate(lost(sets, sentence)):
        worst = max(total_variation(own, smoothing(sets, other)) for other in attacks(sets, sentence, most))
        assert expected == pytest.approx(worst, abs=1e-12)
    assert 0 < lost(sets, sentence)[1] < lost(sets, sentence)[-1] < 1


def test_with_sets_of_any_size_the_loss_is_no_less_than_the_total_variation() -> None:
    strict = 0
    for seed in range(25):
        sets, sentence = made_up_sets(seed), ("aa", "cc", "ee")
        own = smoothing(sets, sentence)
        for most, expected in enumerate(lost(sets, sentence)):
            worst = max(total_variation(own, smoothing(sets, other)) for other in attacks(sets, sentence, most))
            assert worst <= expected + 1e-12
            strict += worst < expected - 1e-9
        one = ("dd",)
        worst = max(total_variation(smoothing(sets, one), smoothing(sets, o)) for o in attacks(sets, one, 1))
        assert lost(sets, one)[1] == pytest.approx(worst, abs=1e-12)  # of one word it is exact whatever the sizes
    assert strict  # so the sizes did differ


def test_overlap_and_losses_counted_by_hand() -> None:
    assert overlap({"a", "b", "c"}, {"b", "c", "d"}) == pytest.approx(2 / 3)
    assert overlap({"a"}, {"a", "b", "c", "d"}) == overlap({"a", "b", "c", "d"}, {"a"}) == pytest.approx(1 / 4)
    assert list(losses([0.9, 0.5, 1.0])) == pytest.approx([0, 0.5, 0.55, 0.55])
    assert list(losses([])) == [0]


# --- the certificate --------------------------------------------------------------------------------------------------


def graph(seed: int) -> SynonymSets:
    return GroupSynonyms(CHAIN, 2 + seed % 5)


@pytest.mark.parametrize(("make", "classes"), [(graph, 2), (graph, 3), (made_up_sets, 2), (made_up_sets, 4)])
def test_no_certificate_exceeds_what_enumeration_finds(make: Callable[[int], SynonymSets], classes: int) -> None:
    """Exact probabilities: every attack within the radius leaves the answer, and moves each class by q_X at most."""
    found, certified, tight = [], 0, 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        sets, sentence = make(seed), tuple(rng.choice(["aa", "bb", "cc", "dd", "ee", "ff"], 3))
        bias = rng.dirichlet(np.full(classes, 0.3))
        every = {z for other in attacks(sets, sentence, 3) for z in smoothing(sets, other)}
        labels = {z: int(rng.choice(classes, p=bias)) for z in sorted(every)}
        own = shares(smoothing(sets, sentence), labels, classes)
        answer, loss = int(np.argmax(own)), np.array(lost(sets, sentence))
        others = [p for label, p in enumerate(own) if label != answer]
        most = radius(VoteBounds(own[answer], max(others)), loss)
        safe = -1
        for changed in range(4):
            moved = [shares(smoothing(sets, x), labels, classes) for x in attacks(sets, sentence, changed)]
            differences = np.abs(np.array(moved) - own)
            assert differences.max() <= loss[changed] + 1e-12
            if any(max(p for c, p in enumerate(g) if c != answer) >= g[answer] for g in moved):
                break
            safe = changed
        certain = -1 if most is None else most
        assert certain <= safe
        found.append(certain)
        certified += certain > 0
        tight += certain == safe < 3
    assert certified > 5
    assert len(set(found)) > 2
    assert tight > 0


def test_the_worst_classifier_loses_all_that_the_bound_allows() -> None:
    """A classifier that says 1 just where the attacked sentence is drawn less often attains q_X."""
    sets, sentence = GroupSynonyms(CHAIN, 3), ("bb", "ee")
    own = smoothing(sets, sentence)
    worst = max(attacks(sets, sentence, 2), key=lambda other: total_variation(own, smoothing(sets, other)))
    theirs = smoothing(sets, worst)
    labels = {z: int(own.get(z, 0) > theirs.get(z, 0)) for z in {*own, *theirs}}
    fall = shares(own, labels, 2)[1] - shares(theirs, labels, 2)[1]
    assert fall == pytest.approx(lost(sets, sentence)[2], abs=1e-12)


def test_two_classes_need_a_margin_over_one_half() -> None:
    loss = losses([0.8, 0.8])
    for low, expected in ((0.49, None), (0.5, None), (0.51, 0), (0.69, 0), (0.71, 1), (0.85, 1), (0.87, 2)):
        assert radius(VoteBounds(low, 1 - low), loss) == expected
    assert radius(VoteBounds(0.501, 0.499), losses([1.0, 1.0])) == 2  # synonyms that share a set change nothing
    assert radius(VoteBounds(0.5, 0.1), loss) == 0  # 0.4 is not above 2 × 0.2
    assert radius(VoteBounds(0.5, 0.05), loss) == 1


# --- the vote ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("votes", "alpha"), [((7, 93), 0.01), ((0, 50), 0.05), ((50, 0), 0.05), ((3, 4), 0.001)])
def test_two_classes_are_bounded_by_scipys_clopper_pearson(votes: tuple[int, int], alpha: float) -> None:
    found, n = bound_votes(votes, 1, alpha), sum(votes)
    exact = binomtest(votes[1], n, alternative="greater").proportion_ci(1 - alpha, method="exact").low
    assert found.low == pytest.approx(exact, abs=1e-12)
    assert found.low == pytest.approx(beta.ppf(alpha, votes[1], n - votes[1] + 1) if votes[1] else 0, abs=1e-12)
    assert found.other_high == 1 - found.low


def test_more_classes_share_alpha_and_the_rest_bounds_them_too() -> None:
    votes, alpha = (20, 70, 10), 0.03
    found = bound_votes(votes, 1, alpha)
    assert found.low == pytest.approx(beta.ppf(0.01, 70, 31), abs=1e-12)
    assert found.other_high == pytest.approx(beta.ppf(0.99, 21, 80), abs=1e-12)
    assert bound_votes((0, 2, 0), 1, alpha).other_high == 1 - bound_votes((0, 2, 0), 1, alpha).low
    for bad in ((5,), (0, 0)):
        with pytest.raises(ValueError, match="bound nothing"):
            bound_votes(bad, 0, alpha)


@pytest.mark.parametrize("shares_", [(0.55, 0.45), (0.5, 0.3, 0.2), (0.4, 0.35, 0.15, 0.1)])
def test_the_bounds_cover_the_shares_with_their_confidence(shares_: Sequence[float]) -> None:
    rng, alpha, draws = np.random.default_rng(3), 0.1, 3000
    wrong = 0
    for votes in rng.multinomial(40, shares_, size=draws):
        found = bound_votes(votes.tolist(), 0, alpha)
        wrong += found.low > shares_[0] or found.other_high < max(shares_[1:])
    assert 0 < wrong <= alpha * draws + 3 * math.sqrt(draws * alpha * (1 - alpha))


def test_a_certificate_that_does_not_hold_is_given_with_chance_alpha_at_most() -> None:
    """The true margin just misses 2 q_X, so every certificate is wrong; A is chosen on votes of its own."""
    rng, alpha, draws = np.random.default_rng(5), 0.05, 3000
    loss = losses([0.9])
    wrong = unsure = 0
    for _ in range(draws):
        chosen = int(np.argmax(rng.multinomial(20, (0.6, 0.4))))
        found = radius(bound_votes(rng.multinomial(200, (0.6, 0.4)).tolist(), chosen, alpha), loss)
        wrong += found == 1
        unsure += found is None
    assert 0.01 * draws < wrong <= alpha * draws + 3 * math.sqrt(draws * alpha * (1 - alpha))
    assert 0 < unsure < draws
