import numpy as np
import pytest
import torch

from harness.api.scorer import MaskedRequest
from harness.errors import UsageError
from harness.scorer.hf import HFScorer
from tests.scoring import ATOL, BATCHES, all_logprobs, limit_memory, load, random_ids, scorer
from tests.tiny import ENCODERS, MAX_TOKENS

VOCABULARY = 150
MASKED = [kind for kind in ENCODERS if kind != "xlnet"]
TEXTS = ["the man was happy", "she said the film was really good and i loved it", "awful", "a young doctor and a nurse"]


def requests(one: HFScorer) -> list[MaskedRequest]:
    """Every position that is text, of texts of several lengths; and one request for a few positions only."""
    asked = []
    for text in TEXTS:
        tokens = one.encode(text)
        wanted = [place for place, special in enumerate(one.special_positions(tokens)) if not special]
        asked.append(MaskedRequest(tokens, tuple(wanted)))
    return [*asked, MaskedRequest(asked[1].tokens, (5, 2))]


@pytest.mark.parametrize("kind", MASKED)
def test_equals_masking_one_position_at_a_time_at_any_batch_size(kind: str) -> None:
    loaded = load(kind, "masked_lm")
    asked = requests(HFScorer(loaded))
    expected = []
    for request in asked:
        alone = []
        for place in request.positions:
            ids = list(request.tokens)
            ids[place] = loaded.tokenizer.mask_token_id
            row = all_logprobs(loaded.model, tuple(ids))[place]
            alone.append((row[request.tokens[place]], row.argmax() == request.tokens[place]))
        expected.append(alone)
    longest = max(len(request.tokens) for request in asked)
    for batch in BATCHES:
        one = HFScorer(loaded, token_budget=batch * longest)
        answers = one.ask(asked)
        assert one.scores_needed_positions_only
        for answer, alone in zip(answers, expected, strict=True):
            np.testing.assert_allclose(answer.logprobs, [logprob for logprob, _ in alone], atol=ATOL, rtol=0)
            assert answer.greedy.tolist() == [bool(greedy) for _, greedy in alone]


def test_counts_are_exact() -> None:
    one = scorer("bert", "masked_lm", token_budget=16)
    one.ask([MaskedRequest(random_ids(8, 1, VOCABULARY), (1, 2, 3)), MaskedRequest((2, 20, 3), (1,))])
    counts = one.counts_of("pseudo_log_likelihood")
    assert (counts.rows, counts.tokens, counts.padded_tokens, counts.batches) == (4, 27, 16 + 16, 2)


def test_what_cannot_be_read_is_an_error_of_that_answer_alone() -> None:
    one = scorer("bert", "masked_lm")
    long, outside, none, good = one.ask(
        [
            MaskedRequest(random_ids(MAX_TOKENS + 1, 1, VOCABULARY), (0,)),
            MaskedRequest((2, 20, 3), (3,)),
            MaskedRequest((2, 20, 3), ()),
            MaskedRequest((2, 20, 3), (1,)),
        ]
    )
    assert f"{MAX_TOKENS + 1} tokens are more than the {MAX_TOKENS}" in str(long.error)
    assert outside.error == "a position lies outside the 3 tokens"
    assert none.error is None
    assert none.logprobs.shape == (0,)
    assert good.logprobs.shape == (1,)


def test_out_of_memory_halves_and_a_row_too_big_is_an_error() -> None:
    small = limit_memory(load("bert", "masked_lm"), 40, torch.OutOfMemoryError("CUDA out of memory"))
    one = HFScorer(small, token_budget=1000)
    rows = [MaskedRequest(random_ids(8, 1, VOCABULARY), tuple(range(8))), MaskedRequest((12,) * 50, (1, 2))]
    fine, big = one.ask(rows)
    (expected,) = scorer("bert", "masked_lm").ask(rows[:1])
    np.testing.assert_allclose(fine.logprobs, expected.logprobs, atol=ATOL, rtol=0)
    assert big.error == "out of memory on cpu for a single row of 50 tokens"
    assert one.counts.halvings > 0


def test_non_finite_logits_are_an_error_of_that_answer_alone() -> None:
    loaded = load("distilbert", "masked_lm")
    with torch.no_grad():
        loaded.model.get_input_embeddings().weight[77] = float("inf")
        loaded.model.get_output_embeddings().weight = torch.nn.Parameter(torch.ones(len(loaded.tokenizer), 32))
    bad, good = HFScorer(loaded).ask([MaskedRequest((2, 77, 20, 3), (2,)), MaskedRequest((2, 20, 3), (1,))])
    assert bad.error == "non-finite logits"
    assert good.error is None


def test_a_tokenizer_without_mask_token_is_refused() -> None:
    loaded = load("bert", "masked_lm")
    loaded.tokenizer.mask_token = None
    with pytest.raises(UsageError, match="names no mask token"):
        HFScorer(loaded).ask([MaskedRequest((2, 20, 3), (1,))])
