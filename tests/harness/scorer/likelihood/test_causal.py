from dataclasses import replace

import numpy as np
import pytest
import torch

from harness.api.needs import Need
from harness.api.scorer import TokenRequest
from harness.errors import UsageError
from harness.scorer.hf import HFScorer
from harness.scorer.prefixes.sheet import Job, share_prefixes
from tests.scoring import ATOL, BATCHES, all_logprobs, limit_memory, load, random_ids, scorer
from tests.tiny import DECODERS, MAX_TOKENS

VOCABULARY = 300
LONGEST = 24


def requests() -> list[TokenRequest]:
    """64 of mixed lengths, in no order."""
    shapes = np.random.default_rng(5).integers(1, LONGEST // 2, (64, 2))
    return [
        TokenRequest(random_ids(context, index, VOCABULARY), random_ids(target, 1000 + index, VOCABULARY))
        for index, (context, target) in enumerate(shapes)
    ]


@pytest.mark.parametrize("kind", DECODERS)
def test_equals_full_log_softmax_one_at_a_time_at_any_batch_size(kind: str) -> None:
    loaded = load(kind, "causal_lm")
    asked = requests()
    expected = []
    for request in asked:
        ids = request.context + request.target
        places = np.arange(len(request.context) - 1, len(ids) - 1)
        full = all_logprobs(loaded.model, ids)[places]
        expected.append((full[np.arange(len(places)), request.target], full.argmax(-1) == request.target))
    for batch in BATCHES:
        one = HFScorer(loaded, token_budget=batch * LONGEST)
        answers = one.ask(asked)
        assert one.scores_needed_positions_only
        for answer, (logprobs, greedy) in zip(answers, expected, strict=True):
            assert answer.error is None
            np.testing.assert_allclose(answer.logprobs, logprobs, atol=ATOL, rtol=0)
            assert answer.greedy.tolist() == greedy.tolist()


def test_greedy_is_true_for_the_argmax() -> None:
    loaded = load("gpt2", "causal_lm")
    context = random_ids(6, 1, VOCABULARY)
    best = int(all_logprobs(loaded.model, context)[-1].argmax())
    right, wrong = HFScorer(loaded).ask([TokenRequest(context, (best,)), TokenRequest(context, (best - 1,))])
    assert right.greedy.tolist() == [True]
    assert wrong.greedy.tolist() == [False]
    assert right.logprobs[0] > wrong.logprobs[0]


def test_counts_are_exact() -> None:
    one = scorer("gpt2", "causal_lm", token_budget=20)
    lengths = [10, 10, 7, 4]
    one.ask([TokenRequest(random_ids(n, n + k, VOCABULARY), (11,)) for k, n in enumerate(lengths)])
    counts = one.counts_of("token_logprobs")
    assert (counts.rows, counts.tokens, counts.padded_tokens, counts.batches) == (4, 31, 20 + 14, 2)
    assert (counts.halvings, counts.truncated_rows) == (0, 0)
    assert counts.seconds > 0
    assert one.counts.by_kind == {"token_logprobs": 4}
    assert one.counts.padding_waste == pytest.approx(34 / 31)


def test_choices_after_one_context_share_its_forward_pass() -> None:
    loaded = load("llama", "causal_lm")
    context = random_ids(9, 3, VOCABULARY)
    choices = [TokenRequest(context, (token,)) for token in (20, 30, 40)]
    longer = TokenRequest(context[:5], (*context[5:], 50, 60))
    one = HFScorer(loaded)
    answers = one.ask([*choices, longer, choices[0]])
    assert one.counts.rows == 1
    alone = [HFScorer(loaded).ask([request])[0] for request in (*choices, longer, choices[0])]
    for answer, expected in zip(answers, alone, strict=True):
        np.testing.assert_allclose(answer.logprobs, expected.logprobs, atol=ATOL, rtol=0)


def test_shared_prefixes_group_every_beginning_with_its_longest() -> None:
    reads = [(1,), (1, 2, 3), (2,), (1, 2), (1, 3), (1, 2)]
    groups = share_prefixes([Job(index, read, 0, (9,)) for index, read in enumerate(reads)])
    found = {group[0].read: sorted(job.index for job in group) for group in groups}
    assert found == {(2,): [2], (1, 3): [4], (1, 2, 3): [0, 1, 3, 5]}
    assert all(group[0].read[: len(job.read)] == job.read for group in groups for job in group)


def test_what_cannot_be_read_is_an_error_of_that_answer_alone() -> None:
    one = scorer("gpt2", "causal_lm")
    context = random_ids(MAX_TOKENS, 1, VOCABULARY)
    good, long, empty, unknown, headless = one.ask(
        [
            TokenRequest(context, (11,)),
            TokenRequest(context, (11, 12)),
            TokenRequest((11,), ()),
            TokenRequest((11,), (99_999,)),
            TokenRequest((), (11,)),
        ]
    )
    assert good.error is None
    assert good.logprobs.shape == (1,)
    assert long.error == f"{MAX_TOKENS + 1} tokens are more than the {MAX_TOKENS} the model reads at once"
    assert empty.error is None
    assert empty.logprobs.shape == empty.greedy.shape == (0,)
    assert "token 99999 is outside the model's vocabulary" in str(unknown.error)
    assert "context is empty" in str(headless.error)
    assert one.counts.rows == 1


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: not enough memory")]
)
def test_out_of_memory_halves_and_the_numbers_stay(error: RuntimeError) -> None:
    asked = requests()
    expected = scorer("gpt2", "causal_lm").ask(asked)
    one = HFScorer(limit_memory(load("gpt2", "causal_lm"), 100, error), token_budget=1500)
    answers = one.ask(asked)
    assert one.counts.halvings > 0
    for answer, reference in zip(answers, expected, strict=True):
        np.testing.assert_allclose(answer.logprobs, reference.logprobs, atol=ATOL, rtol=0)
    before = one.counts.halvings
    one.ask(asked)
    assert one.counts.halvings == before


def test_a_row_too_big_for_the_device_is_an_error_of_that_answer() -> None:
    small = limit_memory(load("gpt2", "causal_lm"), 40, torch.OutOfMemoryError("CUDA out of memory"))
    asked = [TokenRequest(random_ids(50, 1, VOCABULARY), (11,)), TokenRequest(random_ids(5, 2, VOCABULARY), (11,))]
    big, fine = HFScorer(small).ask(asked)
    assert big.error == "out of memory on cpu for a single row of 50 tokens"
    assert fine.error is None
    assert np.isfinite(fine.logprobs).all()


def test_non_finite_logits_are_an_error_of_that_answer_alone() -> None:
    loaded = load("gpt-neox", "causal_lm")
    poison = 77
    with torch.no_grad():
        loaded.model.get_input_embeddings().weight[poison] = float("nan")
    bad, good = HFScorer(loaded).ask([TokenRequest((20, poison, 21), (30,)), TokenRequest((20, 21), (30,))])
    assert bad.error == "non-finite logits"
    assert bad.logprobs.shape == (0,)
    assert good.error is None
    assert np.isfinite(good.logprobs).all()


def test_a_model_that_looks_ahead_is_refused() -> None:
    loaded = load("bert", "masked_lm")
    posing = replace(loaded, info=replace(loaded.info, offers=frozenset({Need.CAUSAL_LM})))
    with pytest.raises(UsageError, match="BertForMaskedLM is not causal"):
        HFScorer(posing).ask([TokenRequest((11,), (12,))])


def test_order_of_requests_does_not_matter() -> None:
    asked = requests()
    one = scorer("opt", "causal_lm")
    forward, backward = one.ask(asked), one.ask(asked[::-1])
    for answer, other in zip(forward, backward[::-1], strict=True):
        np.testing.assert_allclose(answer.logprobs, other.logprobs, atol=ATOL, rtol=0)
