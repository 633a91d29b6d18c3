"""Every kind of request on a GPU: the CPU's answers, and no more waiting for the device than is stated per batch."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch

from harness.api.requests.beams import BeamRequest
from harness.api.requests.candidates import CandidatesRequest
from harness.api.requests.chances import SequenceChanceRequest
from harness.api.requests.chat import ChatRequest
from harness.api.requests.distributions import DistributionRequest, MaskedDistributionRequest
from harness.api.requests.heads import (
    AnswerRequest,
    ChoiceRequest,
    LabelsRequest,
    NextSentenceRequest,
    RegressionRequest,
    TagRequest,
)
from harness.api.requests.likeliest import MaskedTokensRequest, NextTokensRequest, TokensInPlaceRequest
from harness.api.requests.masked_spans import MaskedSpanRequest
from harness.api.requests.sampling import SampleRequest
from harness.api.scorer import (
    EmbedRequest,
    GenerateRequest,
    GradientRequest,
    InputRequest,
    MaskedRequest,
    Pooling,
    Request,
    TextRequest,
    TokenRequest,
)
from harness.checkpoint import load_checkpoint
from harness.scorer.abilities import OWN
from harness.scorer.forward import engine
from harness.scorer.hf import HFScorer
from tests.fakegpu import Counts, fake_cuda
from tests.scoring import load, random_ids

TEXTS = ["the film was very good", "awful boring plot and bad acting", "he is a doctor", "fun"] * 2
IDS = [random_ids(length, length, 100) for length in (4, 9, 12, 7)]
START = (5,)


@dataclass(frozen=True)
class Asked:
    """Requests of one kind, and how often a batch of them may make the host wait."""

    requests: Sequence[Request[Any]]
    heads: tuple[tuple[str, str], ...]
    waits: int


WRITTEN = 5
"""Tokens to continue a prompt by."""
CLASSIFIERS = tuple((kind, "classifier") for kind in ("bert", "roberta", "deberta-v2", "gpt2", "xlnet"))
CAUSAL = tuple((kind, "causal_lm") for kind in ("gpt2", "llama", "gpt-neo"))
MASKED = (("bert", "masked_lm"), ("roberta", "masked_lm"))
EVERY: dict[str, Asked] = {
    "text": Asked([TextRequest(text) for text in TEXTS], CLASSIFIERS, 2),
    "input": Asked([InputRequest(ids) for ids in IDS], CLASSIFIERS, 2),
    "gradient": Asked([GradientRequest(TextRequest(text), 1) for text in TEXTS], CLASSIFIERS[:3], 5),
    "embed": Asked([EmbedRequest(text, pooling=way) for text in TEXTS for way in Pooling], CLASSIFIERS, 4),
    "token": Asked([TokenRequest(START, ids) for ids in IDS], CAUSAL, 3),
    "shared": Asked([TokenRequest(START + IDS[2], (token,)) for token in range(20, 28)], CAUSAL, 3),
    "distribution": Asked([DistributionRequest(START, ids) for ids in IDS], CAUSAL, 6),
    "chance": Asked([SequenceChanceRequest(START, ids, top_k=3) for ids in IDS], CAUSAL, 6),
    "candidates": Asked([CandidatesRequest(START, tuple((a, b) for a in range(20, 24) for b in (9, 8)))], CAUSAL, 4),
    "generate": Asked([GenerateRequest(START + ids, WRITTEN) for ids in IDS], CAUSAL, 2 * WRITTEN + 4),
    "beams": Asked([BeamRequest(START + ids, WRITTEN, 3) for ids in IDS], CAUSAL, 4 * WRITTEN + 4),
    "sample": Asked([SampleRequest(START + ids, WRITTEN, seed=3) for ids in IDS], CAUSAL, 4 * WRITTEN + 4),
    "next tokens": Asked([NextTokensRequest(START + ids, 4) for ids in IDS], CAUSAL, 6),
    "masked tokens": Asked([MaskedTokensRequest(ids, 1, 4) for ids in IDS], MASKED, 6),
    "tokens in place": Asked([TokensInPlaceRequest(ids, (0, 2), 4) for ids in IDS], MASKED, 3),
    "masked": Asked([MaskedRequest(ids, tuple(range(1, len(ids) - 1))) for ids in IDS], MASKED, 3),
    "masked span": Asked([MaskedSpanRequest(ids, 1, 3, way) for ids in IDS for way in (True, False)], MASKED, 3),
    "masked distribution": Asked([MaskedDistributionRequest(ids, (1, 2)) for ids in IDS], MASKED, 6),
    "labels": Asked([LabelsRequest(text) for text in TEXTS], (("bert", "multi_label"), ("gpt2", "multi_label")), 2),
    "regression": Asked([RegressionRequest(text) for text in TEXTS], (("bert", "regression"),), 2),
    "next sentence": Asked([NextSentenceRequest("a man", text) for text in TEXTS], (("bert", "next_sentence"),), 2),
    "choice": Asked(
        [ChoiceRequest("a man", text) for text in TEXTS],
        (("bert", "multiple_choice"), ("roberta", "multiple_choice")),
        2,
    ),
    "tag": Asked([TagRequest(text) for text in TEXTS], (("bert", "token_classifier"), ("gpt2", "token_classifier")), 2),
    "answer": Asked([AnswerRequest("who ?", text) for text in TEXTS], (("bert", "question_answering"),), 3),
}
PAIRS = [(name, *head) for name, asked in EVERY.items() for head in asked.heads]


def on_cuda(kind: str, head: str, **more: Any) -> HFScorer:
    loaded = load(kind, head)
    return HFScorer(replace(loaded, model=copy.deepcopy(loaded.model).to("cuda"), device="cuda"), **more)


def numbers(answer: Any) -> list[float]:
    """All numbers that an answer holds, in order."""
    if isinstance(answer, np.ndarray):
        return [float(value) for value in answer.astype(np.float64).ravel()]
    if isinstance(answer, (int, float)):
        return [float(answer)]
    if isinstance(answer, (list, tuple)):
        return [value for each in answer for value in numbers(each)]
    if is_dataclass(answer):
        return [value for item in fields(answer) for value in numbers(getattr(answer, item.name))]
    assert answer is None or isinstance(answer, str), type(answer)
    return []


@pytest.fixture
def counts() -> Iterator[Counts]:
    with fake_cuda() as counted:
        yield counted


@pytest.mark.parametrize(("name", "kind", "head"), PAIRS)
def test_answers_of_the_cpu_and_few_waits(name: str, kind: str, head: str) -> None:
    asked = EVERY[name]
    want = HFScorer(load(kind, head)).ask(asked.requests)
    with fake_cuda() as counts:
        scorer = on_cuda(kind, head, token_budget=24)
        scorer.ask(asked.requests[:1])  # what is found out once about a model
        before, batches = counts.copy(), scorer.counts.batches
        got = scorer.ask(asked.requests)
        found, ran = counts.since(before), scorer.counts.batches - batches
    assert scorer.device == "cuda"
    assert ran > 0
    assert found.ops > ran
    np.testing.assert_allclose(numbers(got), numbers(want), atol=1e-5, rtol=0)
    assert found.waits <= ran * asked.waits, (found.waits, ran, found.places)


def test_every_request_is_here() -> None:
    known = {kind for handler in OWN for kind in handler.asked}
    assert {type(asked.requests[0]) for asked in EVERY.values()} == known - {ChatRequest}  # which asks no model


def test_a_checkpoint_is_loaded_there(counts: Counts) -> None:
    loaded = load_checkpoint(load("bert", "classifier").info)
    assert loaded.device == "cuda"
    assert {value.device.type for value in loaded.model.parameters()} == {"cuda"}
    (answer,) = HFScorer(loaded).ask([TextRequest("fun")])
    assert math.isclose(answer.probabilities.sum(), 1)


def test_input_embeddings_come_to_the_host(counts: Counts) -> None:
    scorer = on_cuda("bert", "classifier")
    assert np.isfinite(scorer.input_embeddings()).all()
    before = counts.copy()
    scorer.input_embeddings()
    assert counts.since(before).to_host == 1


def test_inputs_left_on_the_cpu_are_caught(counts: Counts, monkeypatch: pytest.MonkeyPatch) -> None:
    def padded(self: engine.Engine, rows: engine.Rows, fill: int, side: engine.Side = engine.Side.RIGHT) -> Any:
        return torch.from_numpy(engine.pad_rows(rows, fill, side))

    monkeypatch.setattr(engine.Engine, "padded", padded)
    with pytest.raises(RuntimeError, match="two devices"):
        on_cuda("bert", "classifier").ask([TextRequest("fun")])
