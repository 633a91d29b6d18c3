"""Poolings and layers against one unpadded pass of the model each."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from harness.api.scorer import EmbedRequest, Pooling
from harness.scorer.hf import HFScorer
from tests.scoring import ATOL, BATCHES, load, scorer
from tests.tiny import MAX_TOKENS

TEXTS = [" the man", " she was a very good doctor, they say", " a", " it was an awful film and i hated the actor" * 3]
HOW = [(pooling, layer) for pooling in Pooling for layer in (None, 0, 1, 2)]


def alone(loaded: Any, text: str, pooling: Pooling, layer: int | None) -> Any:
    """The vector by the words of the request: states of one unpadded row, pooled by hand."""
    inputs = loaded.tokenizer(text, return_tensors="pt")
    with torch.no_grad():
        output = loaded.model.base_model(**inputs, output_hidden_states=True)
    states = (output.last_hidden_state if layer is None else output.hidden_states[layer])[0].double().numpy()
    tokens = inputs["input_ids"][0].tolist()
    cls = loaded.tokenizer.cls_token_id
    return {  # type: ignore[no-untyped-call]
        Pooling.MEAN: lambda: sum(states) / len(states),
        Pooling.MAX: lambda: np.array([max(column) for column in states.T]),
        Pooling.CLS: lambda: states[tokens.index(cls) if cls in tokens else 0],
        Pooling.LAST: lambda: states[-1],
    }[pooling]()


@pytest.mark.parametrize("kind", ["bert", "roberta", "albert", "xlnet", "gpt2", "llama"])
@pytest.mark.parametrize("batch", BATCHES)
def test_equal_the_model_alone_whatever_is_asked_beside(kind: str, batch: int) -> None:
    loaded = load(kind, "base")
    asked = [EmbedRequest(text, pooling=pooling, layer=layer) for text in TEXTS for pooling, layer in HOW]
    answers = HFScorer(loaded, token_budget=batch * MAX_TOKENS).ask(asked)
    for request, answer in zip(asked, answers, strict=True):
        expected = alone(loaded, request.text, request.pooling, request.layer)
        np.testing.assert_allclose(answer.vector, expected, atol=ATOL, rtol=0)
    first = [answer.vector.round(3).tolist() for answer in answers[: len(HOW)]]
    same = len(Pooling) + (3 if kind == "xlnet" else 0)  # the last layer, named; and XLNet has [CLS] at the end
    assert len({str(vector) for vector in first}) == len(HOW) - same


def test_a_layer_that_is_not_there_is_an_error_of_its_own_request() -> None:
    above, below, fine = scorer("bert", "base").ask([EmbedRequest("a", layer=at) for at in (3, -1, 2)])
    assert above.error == "layer 3 was asked for; the model has 2, counted from 1 (0 is what the first reads)"
    assert "layer -1 was asked for" in str(below.error)
    assert fine.error is None
