from __future__ import annotations

from typing import Any

import pytest
import torch

from suites.adversarial.faster.encoders import encode_once, is_plain_encoder
from suites.adversarial.faster.memo import Memo
from suites.adversarial.resources.textattack_env import load_textattack
from tests.suites.adversarial.faster.stand_ins import SENTENCES, attacked, embedding, encode, encoder, swaps

_SETTINGS: list[dict[str, Any]] = [
    {"threshold": 0.8, "metric": "cosine"},
    {"threshold": 0.9, "metric": "angular", "window_size": 12, "skip_text_shorter_than_window": True},
    {"threshold": 0.75, "metric": "angular", "window_size": 5},
    {"threshold": 30.0, "metric": "max_euclidean", "window_size": 4, "compare_against_original": False},
    {"threshold": 0.8, "window_size": 6, "skip_text_shorter_than_window": True},
]


def both(constraint: Any, text: Any, reference: Any, memo: Memo) -> tuple[list[Any], list[Any]]:
    """Survivors and every candidate's score, by the stock constraint and by its twin."""
    answers = []
    for one in (constraint, encode_once(constraint, memo)):
        candidates = swaps(text, 25)
        kept = one.call_many(candidates, reference)
        scores = [candidate.attack_attrs["similarity_score"] for candidate in candidates]
        assert all(type(score) is float for score in scores)
        answers.append([[candidate.text for candidate in kept], scores])
    return answers[0], answers[1]


@pytest.mark.parametrize("settings", _SETTINGS)
def test_survivors_and_scores_are_stocks(settings: dict[str, Any]) -> None:
    constraint, memo = encoder(**settings), Memo()
    lost = kept = 0
    for text in attacked():
        stock, ours = both(constraint, text, text, memo)
        assert ours[0] == stock[0]
        assert ours[1] == pytest.approx(stock[1], abs=1e-6)
        kept += len(stock[0])
        lost += len(stock[1]) - len(stock[0])
    assert min(kept, lost) > 10, (kept, lost)


def test_a_reference_other_than_the_parent() -> None:
    constraint = encoder(threshold=0.6, window_size=5)
    for reference in attacked(SENTENCES[:12]):
        parent = next((candidate for candidate in swaps(reference, 5, seed=9)), reference)
        stock, ours = both(constraint, parent, reference, Memo())
        assert ours[0] == stock[0]
        assert ours[1] == pytest.approx(stock[1], abs=1e-6)


def test_each_text_is_encoded_once_and_in_one_call() -> None:
    constraint = encoder(threshold=0.5)
    faster = encode_once(constraint, Memo())
    (text,) = attacked(["a funny, fast, furious, flawed film"])
    candidates = swaps(text, 30)
    distinct = {candidate.text for candidate in candidates}
    faster.call_many(candidates, text)
    (asked,) = constraint.asked
    assert sorted(asked) == sorted({text.text, *distinct})
    faster.call_many(swaps(text, 30), text)
    assert len(constraint.asked) == 1, "nothing new was to be encoded"


def test_texts_whose_score_is_set_to_one_are_not_encoded() -> None:
    constraint = encoder(threshold=0.99, window_size=50, skip_text_shorter_than_window=True)
    (text,) = attacked(["a short text"])
    candidates = swaps(text, 5)
    assert len(encode_once(constraint, Memo()).call_many(candidates, text)) == len(candidates)
    assert {candidate.attack_attrs["similarity_score"] for candidate in candidates} == {1.0}
    assert constraint.asked == []


def test_vectors_are_shared_by_key_or_by_object_only() -> None:
    memo, (text,) = Memo(), attacked(["a funny, fast, furious film"])
    alone, other, keyed, same = (encoder(threshold=0.5) for _ in range(4))
    keyed.encoding_key = same.encoding_key = "made up, 12"
    for constraint in (alone, alone, other, keyed, same):
        encode_once(constraint, memo).call_many(swaps(text, 5), text)
    assert [len(constraint.asked) for constraint in (alone, other, keyed, same)] == [1, 1, 1, 0]


def test_vectors_given_as_an_array_and_none_at_all() -> None:
    constraint = encoder(threshold=0.5)
    constraint.encode = lambda texts: encode(texts).numpy()
    (text,) = attacked(["a funny, fast, furious film"])
    stock, ours = both(constraint, text, text, Memo())
    assert ours[1] == pytest.approx(stock[1], abs=1e-6)
    assert encode_once(constraint, Memo()).call_many([], text) == []


def test_thought_vectors() -> None:
    load_textattack()
    from textattack.constraints.semantics.sentence_encoders import SentenceEncoder, ThoughtVector

    constraint = ThoughtVector(embedding=embedding(), threshold=0.9, metric="cosine")
    assert is_plain_encoder(constraint, SentenceEncoder)
    texts = [text for text in attacked() if sum(constraint.word_embedding[word] is not None for word in text.words) > 5]
    assert len(texts) > 10
    for text in texts:  # stock cannot stack the vectors of texts without a known word
        stock, ours = both(constraint, text, text, Memo())
        assert ours[0] == stock[0]
        assert ours[1] == pytest.approx(stock[1], abs=1e-6)


def test_an_encoder_that_filters_in_its_own_way_is_not_plain() -> None:
    load_textattack()
    from textattack.constraints.semantics.sentence_encoders import SentenceEncoder

    class Own(SentenceEncoder):  # type: ignore[misc]  # textattack has no types
        def _score_list(self, starting_text: Any, transformed_texts: Any) -> Any:
            return torch.zeros(len(transformed_texts))

    assert is_plain_encoder(encoder(), SentenceEncoder)
    assert not is_plain_encoder(Own(), SentenceEncoder)
    assert not is_plain_encoder(object(), SentenceEncoder)


def test_candidates_without_what_the_window_needs() -> None:
    faster = encode_once(encoder(), Memo())
    (text,) = attacked(["one two"])
    (candidate, *_) = swaps(text, 3)
    candidate.attack_attrs["newly_modified_indices"] = set()
    with pytest.raises(ValueError, match=r"no word was modified in '\w+ \w+'"):
        faster.call_many([candidate], text)
    del candidate.attack_attrs["newly_modified_indices"]
    with pytest.raises(KeyError, match="newly_modified_indices"):
        faster.call_many([candidate], text)
