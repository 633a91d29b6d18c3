"""Labels, numbers and next sentences, against one unpadded pass of the model each."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from harness.api.requests.heads import LabelsRequest, NextSentenceRequest, RegressionRequest
from harness.api.scorer import EmbedRequest, TextRequest
from harness.errors import UsageError
from harness.scorer.hf import HFScorer
from tests.scoring import ATOL, BATCHES, load, scorer
from tests.tiny import MAX_TOKENS

TEXTS = [" the man", " she was a very good doctor, they say", " a", " it was an awful film and i hated the actor" * 3]
PAIRS = list(zip(TEXTS, TEXTS[::-1], strict=True))


def alone(loaded: Any, *texts: str) -> Any:
    inputs = loaded.tokenizer(*texts, return_tensors="pt")
    with torch.no_grad():
        return loaded.model(**inputs).logits[0]


@pytest.mark.parametrize("kind", ["bert", "roberta", "deberta-v2", "xlnet", "gpt2", "llama"])
@pytest.mark.parametrize("batch", BATCHES)
def test_regression_and_labels_equal_the_model_alone(kind: str, batch: int) -> None:
    loaded = load(kind, "regression")
    numbers = HFScorer(loaded, token_budget=batch * MAX_TOKENS).ask([RegressionRequest(text) for text in TEXTS])
    assert np.ptp([answer.values for answer in numbers]) > 100 * ATOL
    for text, answer in zip(TEXTS, numbers, strict=True):
        assert answer.values.shape == (1,)
        np.testing.assert_allclose(answer.values, alone(loaded, text), atol=ATOL, rtol=0)
    loaded = load(kind, "multi_label")
    assert loaded.info.labels == ("O", "B", "I")
    labels = HFScorer(loaded, token_budget=batch * MAX_TOKENS).ask([LabelsRequest(text) for text in TEXTS])
    for text, found in zip(TEXTS, labels, strict=True):
        np.testing.assert_allclose(found.probabilities, torch.sigmoid(alone(loaded, text)), atol=ATOL, rtol=0)
        assert found.error is None


@pytest.mark.parametrize("batch", BATCHES)
def test_next_sentence_equals_the_model_alone(batch: int) -> None:
    loaded = load("bert", "next_sentence")
    answers = HFScorer(loaded, token_budget=batch * MAX_TOKENS).ask([NextSentenceRequest(*pair) for pair in PAIRS])
    assert np.ptp([answer.follows for answer in answers]) > 100 * ATOL
    for pair, answer in zip(PAIRS, answers, strict=True):
        expected = torch.softmax(alone(loaded, *pair), -1)[0]  # 0 is "follows" in BERT's labels
        assert answer.follows == pytest.approx(float(expected), abs=ATOL)


def test_what_is_cut_off_is_counted_and_errors_are_of_their_row() -> None:
    one = scorer("bert", "regression", max_tokens=20)
    cut, whole, empty = one.ask([RegressionRequest("good " * 40), RegressionRequest("good"), RegressionRequest("")])
    assert (cut.truncated, whole.truncated, empty.truncated) == (22, 0, 0)
    assert one.counts_of("regression").truncated_rows == 1
    nothing, good = scorer("gpt2", "multi_label").ask([LabelsRequest(""), LabelsRequest(" good")])
    assert nothing.error == "there is no token to read"
    assert good.error is None
    loaded = load("bert", "regression")
    with torch.no_grad():
        loaded.model.classifier.bias.fill_(float("nan"))
    (bad,) = HFScorer(loaded).ask([RegressionRequest("good")])
    assert bad.error == "non-finite logits"
    assert len(bad.values) == 0


@pytest.mark.parametrize("head", ["regression", "multi_label"])
def test_such_heads_are_not_read_by_softmax(head: str) -> None:
    one = scorer("bert", head)
    with pytest.raises(UsageError, match="classify needs a sequence classifier; "):
        one.ask([TextRequest("good")])
    assert one.why_no_gradients is not None
    assert one.ask([EmbedRequest("good")])[0].error is None
    with pytest.raises(UsageError, match=r"labels needs a multi-label classifier; .* offers embeddings, sequence"):
        scorer("bert", "classifier").ask([LabelsRequest("good")])
