"""Sentence vectors and similarities, against the model itself and plain arc cosines."""

from __future__ import annotations

import math
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from harness.api.scorer import Embedding, EmbedRequest
from harness.scorer.hf import HFScorer
from suites.adversarial.semantics.sentences import SentenceVectors, similarities
from suites.adversarial.semantics.unmeasured import Unmeasured
from tests.fakes import FakeScorer, make_info
from tests.scoring import scorer

WORDS = "the film was good and the story of it moved me".split()  # noqa: SIM905  reads as a text
LONG = " ".join(WORDS * 4)


@cache
def encoder() -> HFScorer:
    return scorer("bert", "base", max_tokens=16)


def vector(text: str) -> Any:
    [found] = SentenceVectors(encoder())([text])
    assert not isinstance(found, Unmeasured)
    return found


def test_angular_similarity_is_that_of_textattack() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        first, second = rng.normal(size=(2, 8))
        cosine = float(first @ second / np.linalg.norm(first) / np.linalg.norm(second))
        assert similarities(first, second) == pytest.approx((cosine, 1 - math.acos(cosine) / math.pi), abs=1e-12)


@pytest.mark.parametrize(
    ("second", "expected"), [([3, 4], (1, 1)), ([-6, -8], (-1, 0)), ([-4, 3], (0, 0.5)), ([6, 8], (1, 1))]
)
def test_known_angles(second: list[float], expected: tuple[float, float]) -> None:
    assert similarities(np.array([3.0, 4.0]), np.array(second, dtype=np.float64)) == pytest.approx(expected, abs=1e-12)


def test_equal_vectors_are_exactly_alike() -> None:
    vectors = np.random.default_rng(1).normal(size=(20, 384))
    assert all(isinstance(found := similarities(v, v), tuple) and found[1] == 1.0 for v in vectors)


@pytest.mark.parametrize("bad", [[0.0, 0.0], [math.nan, 1.0], [math.inf, 1.0]])
def test_without_a_direction_there_is_no_similarity(bad: list[float]) -> None:
    found = similarities(np.array(bad), np.ones(2))
    assert found == Unmeasured("a sentence vector is zero or not finite, so it has no direction")


def test_a_text_that_fits_has_the_models_own_vector() -> None:
    text = " ".join(WORDS[:4])
    [answer] = encoder().ask([EmbedRequest(text)])
    assert answer.truncated == 0
    assert vector(text) == pytest.approx(answer.vector, abs=1e-6)


def test_a_long_text_is_the_mean_of_its_pieces_by_tokens() -> None:
    [whole] = encoder().ask([EmbedRequest(LONG)])
    assert whole.truncated > 0
    words = LONG.split()
    count = next(n for n in range(1, 99) if all(not a.truncated for a in _embedded(words, n)) and n >= _least(whole))
    pieces = _embedded(words, count)
    tokens = [len(encoder().encode(text)) for text in _cut(words, count)]
    expected = sum(n * piece.vector for n, piece in zip(tokens, pieces, strict=True)) / sum(tokens)
    assert vector(LONG) == pytest.approx(expected, abs=1e-5)


def test_a_change_beyond_what_the_encoder_reads_is_seen() -> None:
    changed = LONG.rsplit(" ", 1)[0] + " story"
    answers = encoder().ask([EmbedRequest(LONG), EmbedRequest(changed)])
    assert answers[0].vector == pytest.approx(answers[1].vector, abs=1e-6), "the model itself does not see it"
    found = similarities(vector(LONG), vector(changed))
    assert isinstance(found, tuple)
    assert found[0] < 1 - 1e-6


def test_a_word_that_does_not_fit_is_said_to_be_too_long() -> None:
    [found, other] = SentenceVectors(encoder())(["good " * 5 + "-".join(["good"] * 30), "good film"])
    assert found == Unmeasured("a word is longer than the 16 tokens that the encoder reads")
    assert not isinstance(other, Unmeasured)


def test_the_batch_does_not_change_a_vector() -> None:
    texts = ["good film", LONG, "", "the story", LONG + " film"]
    together = SentenceVectors(encoder())(texts)
    for text, found in zip(texts, together, strict=True):
        assert found == pytest.approx(vector(text), abs=1e-4)


def test_an_answer_with_an_error_is_no_vector() -> None:
    broken = FakeScorer(make_info())
    broken.answers[EmbedRequest] = lambda asked: [Embedding(np.empty(0), error="non-finite states") for _ in asked]
    assert SentenceVectors(broken)(["a"]) == [Unmeasured("the encoder gives no vector: non-finite states")]


def _least(whole: Embedding) -> int:
    return 1 + math.ceil(whole.truncated / 16)


def _cut(words: list[str], count: int) -> list[str]:
    ends = [round(len(words) * part / count) for part in range(count + 1)]
    return [" ".join(words[start:end]) for start, end in pairwise(ends)]


def _embedded(words: list[str], count: int) -> list[Embedding]:
    return encoder().ask([EmbedRequest(text) for text in _cut(words, count)])
