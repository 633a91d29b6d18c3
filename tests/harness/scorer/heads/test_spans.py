"""Tags and answers with their characters, against one unpadded pass of the model each."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from harness.api.requests.heads import AnswerRequest, AnswerScores, TagRequest
from harness.errors import NotApplicableError
from harness.scorer.hf import HFScorer
from tests.scoring import ATOL, BATCHES, load, scorer
from tests.tiny import MAX_TOKENS

TEXTS = ["The man was good!", "she", "Zebras, naïve: the doctor\tand  the nurse 你", "a good film about a doctor " * 3]
KINDS = ["bert", "roberta", "deberta-v2", "gpt2", "llama"]


@pytest.mark.parametrize("kind", [*KINDS, "xlnet"])
@pytest.mark.parametrize("batch", BATCHES)
def test_tags_equal_the_model_alone(kind: str, batch: int) -> None:
    loaded = load(kind, "token_classifier")
    answers = HFScorer(loaded, token_budget=batch * MAX_TOKENS).ask([TagRequest(text) for text in TEXTS])
    for text, answer in zip(TEXTS, answers, strict=True):
        encoded = loaded.tokenizer(text, return_tensors="pt", return_special_tokens_mask=True)
        own = encoded.pop("special_tokens_mask")[0] == 0
        with torch.no_grad():
            expected = loaded.model(**encoded).logits[0][own]
        np.testing.assert_allclose(answer.logits, expected, atol=ATOL, rtol=0)
        assert answer.labels == tuple(expected.argmax(-1).tolist())
        assert answer.error is None
        assert len(answer.offsets) == int(own.sum())


@pytest.mark.parametrize("kind", ["bert", "gpt2"])
def test_offsets_are_the_characters_of_the_tokens(kind: str) -> None:
    one = scorer(kind, "token_classifier")
    text = "The man was  good!"
    (answer,) = one.ask([TagRequest(text)])
    cut = [text[start:end] for start, end in answer.offsets]
    shown = [one.decode([token]).strip() for token in one.encode(text, special=False)]
    assert [piece.strip().lower() for piece in cut] == [piece.removeprefix("##").lower() for piece in shown]
    assert "good" in cut
    assert not any(piece != piece.strip() for piece in cut if piece.strip())


def test_what_is_cut_off_is_counted_and_errors_are_of_their_row() -> None:
    cut, whole = scorer("bert", "token_classifier", max_tokens=20).ask([TagRequest("good " * 40), TagRequest("good")])
    assert (cut.truncated, whole.truncated) == (22, 0)
    assert len(cut.offsets) == len(cut.logits) == 18
    nothing, good = scorer("gpt2", "token_classifier").ask([TagRequest(""), TagRequest(" good")])
    assert nothing.error == "there is no token to read"
    assert good.error is None
    loaded = load("bert", "token_classifier")
    with torch.no_grad():
        loaded.model.bert.embeddings.word_embeddings.weight[loaded.tokenizer.vocab["doctor"]] = float("nan")
    bad, fine = HFScorer(loaded).ask([TagRequest("a doctor"), TagRequest("a nurse and a man")])
    assert bad.error == "non-finite logits"
    assert fine.error is None


def test_a_slow_tokenizer_is_refused_by_name() -> None:
    class Slow:
        is_fast = False

    loaded = replace(load("bert", "token_classifier"), tokenizer=Slow())
    with pytest.raises(NotApplicableError, match=r"tiny-bert: its tokenizer is a slow one \(Slow\), which gives no"):
        HFScorer(loaded).ask([TagRequest("a")])


def asked() -> list[AnswerRequest]:
    return [AnswerRequest("who was good?", text) for text in TEXTS] + [AnswerRequest("what", TEXTS[0])]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("batch", BATCHES)
def test_answers_equal_the_model_alone(kind: str, batch: int) -> None:
    loaded = load(kind, "question_answering")
    answers = HFScorer(loaded, token_budget=batch * MAX_TOKENS).ask(asked())
    for request, answer in zip(asked(), answers, strict=True):
        encoded = loaded.tokenizer(request.question, request.context, return_tensors="pt")
        own = [place for place, which in enumerate(encoded.sequence_ids(0)) if which == 1]
        with torch.no_grad():
            output = loaded.model(**encoded)
        np.testing.assert_allclose(answer.starts, output.start_logits[0][own], atol=ATOL, rtol=0)
        np.testing.assert_allclose(answer.ends, output.end_logits[0][own], atol=ATOL, rtol=0)
        if loaded.tokenizer.cls_token_id is None:
            assert answer.no_answer is None
        else:
            none = output.start_logits[0, 0] + output.end_logits[0, 0]
            assert answer.no_answer == pytest.approx(float(none), abs=ATOL)
        assert_best(answer, request.context, most=3)


def assert_best(answer: AnswerScores, context: str, most: int) -> None:
    """Of all spans of at most `most` tokens, one by one."""
    spans = [
        (answer.starts[first] + answer.ends[last], answer.offsets[first][0], answer.offsets[last][1])
        for first in range(len(answer.offsets))
        for last in range(first, min(first + most, len(answer.offsets)))
    ]
    found: Any = answer.best(most)
    assert (found.score, found.start, found.end) == max(spans)
    assert context[found.start : found.end].strip()


def test_the_context_is_cut_never_the_question() -> None:
    one = scorer("bert", "question_answering", max_tokens=20)
    cut, whole, long = one.ask(
        [
            AnswerRequest("who is it", "good " * 40),
            AnswerRequest("who is it", "good"),
            AnswerRequest("who " * 30, "good"),
        ]
    )
    assert (cut.truncated, whole.truncated) == (26, 0)
    assert len(cut.offsets) == 14
    assert long.error == "the question takes 33 of the 20 tokens the model reads at once"
    assert long.best() is None
    assert one.counts_of("answer").truncated_rows == 1
