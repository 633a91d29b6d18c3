from typing import Any

import numpy as np
import pytest
import torch

from harness.api.scorer import EmbedRequest, TextRequest
from harness.checkpoint import LoadedCheckpoint
from harness.scorer.answers import class_scores, no_classes
from harness.scorer.forward.engine import Side
from harness.scorer.forward.pooled import PooledVectors, class_logits
from harness.scorer.hf import HFScorer
from tests.scoring import ATOL, BATCHES, Array, limit_memory, load, scorer
from tests.tiny import KINDS, MAX_TOKENS, heads_of

TEXTS = [
    TextRequest("the film was good"),
    TextRequest("i hated the very bad plot and the awful acting and most of all the boring music"),
    TextRequest("a"),
    TextRequest("what a lovely day", "she said yes"),
    TextRequest("is it ?", "he was a doctor and she was a nurse and they were happy"),
]
WORDS = ["film", "movie", "book", "story", "plot", "actor", "acting", "music", "review", "love", "hate", "like", "was"]


def alone(loaded: LoadedCheckpoint, request: TextRequest, *, hidden: bool = False) -> Array:
    """Logits or mean hidden state of one unpadded text, by the plainest call there is."""
    encoded = loaded.tokenizer(request.text, request.pair, return_tensors="pt")
    if loaded.model.config.model_type not in {"bert", "albert", "electra", "xlnet"}:
        encoded.pop("token_type_ids", None)
    model = loaded.model.base_model if hidden else loaded.model
    with torch.no_grad():
        output = model(**encoded)
    vector = output.last_hidden_state[0].mean(0) if hidden else output.logits[0]
    return np.asarray(vector, dtype=np.float64)


@pytest.mark.parametrize("kind", KINDS)
def test_class_logits_equal_one_at_a_time_at_any_batch_size(kind: str) -> None:
    loaded = load(kind, "classifier")
    asked = [TextRequest(f"{one.text} {word}", one.pair) for word in WORDS for one in TEXTS]  # equal ones are read once
    expected = [alone(loaded, request) for request in asked]
    assert np.ptp(expected, axis=0).max() > 100 * ATOL
    for batch in BATCHES:
        answers = HFScorer(loaded, token_budget=batch * MAX_TOKENS).ask(asked)
        for answer, logits in zip(answers, expected, strict=True):
            np.testing.assert_allclose(answer.logits, logits, atol=ATOL, rtol=0)
            assert answer.error is None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("head", ["base", "language"])
def test_embeddings_equal_the_unpadded_mean(kind: str, head: str) -> None:
    loaded = load(kind, heads_of(kind)[0] if head == "language" else head)
    expected = [alone(loaded, request, hidden=True) for request in TEXTS]
    asked = [EmbedRequest(text.text, text.pair) for text in TEXTS]
    for budget in (1, 10_000):
        for answer, vector in zip(HFScorer(loaded, token_budget=budget).ask(asked), expected, strict=True):
            np.testing.assert_allclose(answer.vector, vector, atol=ATOL, rtol=0)


def test_segment_ids_tell_a_pair_from_one_text() -> None:
    loaded = load("bert", "classifier")
    encoded = loaded.tokenizer("the man", "the woman", return_tensors="pt")
    encoded["token_type_ids"] = torch.zeros_like(encoded["token_type_ids"])
    with torch.no_grad():
        one_segment = loaded.model(**encoded).logits[0].numpy()
    (answer,) = HFScorer(loaded).ask([TextRequest("the man", "the woman")])
    assert np.abs(answer.logits - one_segment).max() > 10 * ATOL


def test_truncation_is_cut_and_counted_per_request() -> None:
    one = scorer("roberta", "classifier", max_tokens=20)
    long = "good " * 40
    plain, cut, pair = one.ask([TextRequest("good"), TextRequest(long), TextRequest("bad", long)])
    kept = one.ask([TextRequest("good " * 18)])[0]
    assert (plain.truncated, cut.truncated, pair.truncated) == (0, 22, 24)
    np.testing.assert_allclose(cut.logits, kept.logits, atol=ATOL, rtol=0)
    assert one.counts.truncated_rows == 2
    assert one.ask([EmbedRequest(long)])[0].truncated == 22
    assert one.counts.truncated_rows == 3


def test_counts_are_exact() -> None:
    one = scorer("bert", "classifier", token_budget=14)
    one.ask([TextRequest("the man"), TextRequest("the man was very happy"), TextRequest("she")])
    counts = one.counts_of("classify")
    assert (counts.rows, counts.tokens, counts.padded_tokens, counts.batches) == (3, 14, 14 + 3, 2)


def test_a_text_without_tokens_is_an_error_of_that_answer_alone() -> None:
    empty, good = scorer("gpt2", "classifier").ask([TextRequest(""), TextRequest(" good")])
    assert empty.error == "there is no token to read"
    assert good.error is None


def test_non_finite_logits_are_an_error_of_that_answer_alone() -> None:
    loaded = load("bert", "classifier")
    poison = loaded.tokenizer.convert_tokens_to_ids("doctor")
    with torch.no_grad():
        loaded.model.get_input_embeddings().weight[poison] = float("nan")
    bad, good = HFScorer(loaded).ask([TextRequest("a doctor"), TextRequest("a nurse and a man")])
    assert bad.error == "non-finite logits"
    assert good.error is None
    assert np.isfinite(good.probabilities).all()
    assert HFScorer(loaded).ask([EmbedRequest("doctor")])[0].error == "non-finite states"


def test_out_of_memory_halves_and_a_row_too_big_is_an_error() -> None:
    small = limit_memory(load("bert", "classifier"), 40, torch.OutOfMemoryError("CUDA out of memory"))
    one = HFScorer(small, token_budget=1000)
    asked = [TextRequest("the man was happy")] * 20 + [TextRequest("good " * 50)]
    *fine, big = one.ask(asked)
    (expected,) = scorer("bert", "classifier").ask(asked[:1])
    assert big.error == "out of memory on cpu for a single row of 52 tokens"
    assert one.counts.halvings > 0
    for answer in fine:
        np.testing.assert_allclose(answer.logits, expected.logits, atol=ATOL, rtol=0)


class Mixing(torch.nn.Module):
    """A classifier that cannot ignore padding on the named sides (as FNet does not)."""

    def __init__(self, model: Any, *, left: bool) -> None:
        super().__init__()
        self.model, self.left, self.config, self.dtype = model, left, model.config, model.dtype

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, **rest: torch.Tensor) -> Any:
        output = self.model(input_ids=input_ids, attention_mask=attention_mask, **rest)
        padded = (attention_mask == 0).any(1) & ((attention_mask[:, -1] == 0) | self.left)
        output.logits = output.logits + padded[:, None]
        return output


@pytest.mark.parametrize(("kind", "left", "side"), [("xlnet", False, Side.LEFT), ("bert", True, Side.NONE)])
def test_padding_goes_where_it_changes_nothing(kind: str, left: bool, side: Side) -> None:
    loaded = load(kind, "classifier")
    one = HFScorer(loaded)
    expected = one.ask(TEXTS)
    engine = one._engine
    vectors = PooledVectors(engine, "mixing", class_logits(Mixing(loaded.model, left=left)))
    with torch.inference_mode():
        answers = vectors.run(TEXTS, class_scores, no_classes)
    assert vectors.side is side
    for answer, reference in zip(answers, expected, strict=True):
        np.testing.assert_allclose(answer.logits, reference.logits, atol=ATOL, rtol=0)


def test_equal_rows_are_read_once_and_get_the_same_bits() -> None:
    one = scorer("bert", "classifier")
    texts = ["a good film", "\u4f60 film", "\u597d film", "a good film", "a longer text about a film"]
    answers = one.ask([TextRequest(text) for text in texts])
    assert one.encode(texts[1]) == one.encode(texts[2])  # both begin with an unknown word
    assert one.counts_of("classify").rows == 3
    assert np.array_equal(answers[0].logits, answers[3].logits)
    assert np.array_equal(answers[1].logits, answers[2].logits)
    assert not np.array_equal(answers[0].logits, answers[1].logits)
