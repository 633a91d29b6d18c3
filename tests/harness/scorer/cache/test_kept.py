"""Answers that are kept: the same numbers with less work, within so many bytes, and only what may be kept."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest

from harness.api.needs import Need
from harness.api.scorer import ClassScores, EmbedRequest, GradientRequest, Request, TextRequest, TokenRequest
from harness.base.plugins import Installed
from harness.errors import AuditError, UsageError
from harness.scorer import abilities
from harness.scorer.cache.kept import KeptAnswers
from harness.scorer.handler import Handler
from harness.scorer.hf import HFScorer
from tests.scoring import load

TEXTS = [f"number {i} of the texts" for i in range(6)]
REQUESTS = [TextRequest(text) for text in TEXTS]


def keeping(kind: str = "bert", head: str = "classifier", most: int = 1 << 20, dtype: str = "fp32") -> HFScorer:
    return HFScorer(load(kind, head, dtype=dtype), keep_bytes=most)


def scores(value: float, size: int = 2) -> ClassScores:
    return ClassScores(np.full(size, value))


def test_what_was_asked_before_is_not_computed_again() -> None:
    one = keeping()
    first = one.ask(REQUESTS[:4])
    rows, batches, tokens = one.counts.rows, one.counts.batches, one.counts.tokens
    again = one.ask([REQUESTS[3], REQUESTS[0], REQUESTS[3]])
    assert [answer.logits.tolist() for answer in again] == [first[index].logits.tolist() for index in (3, 0, 3)]
    assert (one.counts.rows, one.counts.batches, one.counts.tokens) == (rows, batches, tokens)
    assert one.counts.reused == 3


def test_known_and_new_requests_are_answered_in_the_order_asked() -> None:
    one, plain = keeping(), HFScorer(load("bert", "classifier"))
    one.ask(REQUESTS[1:3])
    mixed: list[Request[Any]] = [REQUESTS[4], REQUESTS[1], EmbedRequest(TEXTS[1]), REQUESTS[2], REQUESTS[4]]
    found, expected = one.ask(mixed), plain.ask(mixed)
    for mine, theirs in zip(found, expected, strict=True):
        assert type(mine) is type(theirs)
        name = "vector" if hasattr(mine, "vector") else "logits"
        np.testing.assert_allclose(getattr(mine, name), getattr(theirs, name), atol=1e-6)
    assert one.counts.reused == 2
    assert plain.counts.reused == 0


def test_token_scores_are_kept_too() -> None:
    one = keeping("gpt2", "causal_lm")
    request = TokenRequest((1,), (5, 6, 7))
    (first,), (again,) = one.ask([request]), one.ask([request])
    assert again.logprobs.tolist() == first.logprobs.tolist()
    assert again.greedy.tolist() == first.greedy.tolist()
    assert one.counts.reused == 1


def test_models_and_dtypes_share_nothing() -> None:
    one, other = keeping(), keeping(dtype="bf16")
    one.ask(REQUESTS)
    other.ask(REQUESTS)
    assert other.counts.reused == 0
    assert other.counts.rows == len(REQUESTS)


def test_nothing_is_kept_unless_asked_for() -> None:
    one = HFScorer(load("bert", "classifier"))
    one.ask(REQUESTS)
    one.ask(REQUESTS)
    assert (one.counts.rows, one.counts.reused) == (2 * len(REQUESTS), 0)


def test_texts_that_were_cut_count_wherever_they_are_asked() -> None:
    one = HFScorer(load("bert", "classifier", max_tokens=8), keep_bytes=1 << 20)
    long = TextRequest("a b c d e f g h i j k l m n")
    one.ask([long])
    one.ask([long])
    assert (one.counts.reused, one.counts.truncated_rows) == (1, 2)


def test_the_answers_used_last_stay_within_the_bytes() -> None:
    kept = KeptAnswers(3000)
    for index in range(50):
        kept.keep([TextRequest(f"text {index}")], [scores(index)])
        kept.find([TextRequest("text 0")])
        assert kept.bytes <= 3000
    assert 2 < len(kept) < 10
    found = kept.find(TextRequest(f"text {index}") for index in range(50))
    assert sorted(answer.logits[0] for answer in found.values()) == [0, *range(51 - len(kept), 50)]


def test_what_is_larger_than_all_is_not_kept() -> None:
    kept = KeptAnswers(3000)
    kept.keep([TextRequest("x" * 5000)], [scores(1)])
    assert (len(kept), kept.bytes) == (0, 0)


def test_a_kept_answer_cannot_be_changed_and_holds_no_batch() -> None:
    kept = KeptAnswers(3000)
    batch = np.arange(2000.0).reshape(1000, 2)
    gone = weakref.ref(batch)
    answer = ClassScores(batch[3])
    kept.keep(REQUESTS[:1], [answer])
    answer.logits[0] = -1
    del answer, batch
    gc.collect()
    assert gone() is None
    (mine,) = kept.find(REQUESTS[:1]).values()
    assert mine.logits.tolist() == [6, 7]
    with pytest.raises(ValueError, match="read-only"):
        mine.logits[0] = 0


@dataclass(frozen=True, slots=True)
class DiceRequest(Request[int]):
    drawn: ClassVar[bool] = True


class Dice(Handler[DiceRequest, int]):
    asked: ClassVar[tuple[type[Request[Any]], ...]] = (DiceRequest,)
    kind = "dice"
    needs: ClassVar[Need | None] = None
    thrown = 0

    def run(self, requests: Sequence[DiceRequest]) -> list[int]:
        self.thrown += len(requests)
        return [self.thrown] * len(requests)


def test_what_is_drawn_anew_is_asked_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(abilities, "_of_others", lambda: Installed({"dice": Dice}, {}))
    one = keeping()
    assert [one.ask([DiceRequest()]), one.ask([DiceRequest()])] == [[1], [2]]


def test_of_two_packages_that_answer_the_same_none_is_taken_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    class Loaded(Dice):
        pass

    monkeypatch.setattr(abilities, "_of_others", lambda: Installed({"dice": Dice, "loaded": Loaded}, {}))
    with pytest.raises(UsageError, match=r"DiceRequest is answered by .*Dice and .*Loaded; uninstall all but one"):
        keeping().ask([DiceRequest()])


@pytest.mark.parametrize("answers", [[], [1, 2]])
def test_a_handler_that_gives_more_or_fewer_answers_is_at_fault(
    monkeypatch: pytest.MonkeyPatch, answers: list[int]
) -> None:
    class Miscounting(Dice):
        def run(self, requests: Sequence[DiceRequest]) -> list[int]:
            return answers

    monkeypatch.setattr(abilities, "_of_others", lambda: Installed({"dice": Miscounting}, {}))
    with pytest.raises(AuditError, match=rf"{len(answers)} answers to 1 requests; this is a fault of its handler"):
        keeping().ask([DiceRequest()])


def test_neither_gradients_nor_errors_are_kept() -> None:
    kept = KeptAnswers(1 << 20)
    broken = ClassScores(np.empty(0), error="out of memory")
    asked: list[Request[Any]] = [GradientRequest(REQUESTS[0], 0), REQUESTS[1], REQUESTS[2]]
    kept.keep(asked, [scores(0), broken, scores(2)])
    assert list(kept.find(asked)) == [REQUESTS[2]]
