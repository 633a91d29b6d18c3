"""A multiple-choice head: each answer's logit against the model asked with all answers of a question at once."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from harness.api.requests.heads import ChoiceRequest, NextSentenceRequest
from harness.errors import UsageError
from harness.scorer.hf import HFScorer
from tests.scoring import ATOL, BATCHES, load, scorer
from tests.tiny import MAX_TOKENS

CONTEXTS = [" the man met a woman", " she was a very good doctor, they say, and it was an awful film" * 2]
ANSWERS = [" who was good ? the man", " who was good ? the woman , i think", " who ? nobody"]


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert", "albert", "electra", "deberta-v2", "xlnet", "mpnet"])
@pytest.mark.parametrize("batch", BATCHES)
def test_logits_are_those_of_the_whole_question(kind: str, batch: int) -> None:
    loaded = load(kind, "multiple_choice")
    one = HFScorer(loaded, token_budget=batch * MAX_TOKENS)
    found = one.ask([ChoiceRequest(context, answer) for context in CONTEXTS for answer in ANSWERS])
    logits = np.array([each.logit for each in found]).reshape(len(CONTEXTS), len(ANSWERS))
    for context, mine in zip(CONTEXTS, logits, strict=True):
        inputs = loaded.tokenizer([context] * len(ANSWERS), ANSWERS, padding=True, return_tensors="pt")
        with torch.no_grad():
            whole = loaded.model(**{name: tensor[None] for name, tensor in inputs.items()}).logits[0]
        np.testing.assert_allclose(mine, whole.double().numpy(), atol=ATOL, rtol=0)
        assert np.ptp(mine) > 10 * ATOL
    assert {each.error for each in found} == {None}


def test_what_is_cut_off_is_counted_and_errors_are_of_their_row() -> None:
    one = scorer("bert", "multiple_choice", max_tokens=20)
    cut, whole = one.ask([ChoiceRequest("good " * 40, "the man"), ChoiceRequest("good", "the man")])
    assert (cut.truncated > 0, whole.truncated) == (True, 0)
    loaded = load("bert", "multiple_choice")
    with torch.no_grad():
        loaded.model.classifier.bias.fill_(float("nan"))
    (bad,) = HFScorer(loaded).ask([ChoiceRequest("good", "the man")])
    assert bad.error == "non-finite logits"


def test_other_heads_have_no_choice() -> None:
    with pytest.raises(UsageError, match="choice needs a multiple-choice head; "):
        scorer("bert", "classifier").ask([ChoiceRequest("good", "the man")])
    with pytest.raises(UsageError, match=r"next_sentence needs a next-sentence head; .* multiple-choice head"):
        scorer("bert", "multiple_choice").ask([NextSentenceRequest("good", "the man")])
