"""Hidden spans against copies that are masked by hand, and against filling them token by token."""

from __future__ import annotations

import numpy as np
import pytest

from harness.api.requests.masked_spans import MaskedSpanRequest
from harness.api.scorer import MaskedRequest
from harness.scorer.hf import HFScorer
from tests.scoring import ATOL, BATCHES, all_logprobs, load, random_ids, scorer


@pytest.mark.parametrize("kind", ["bert", "roberta"])
@pytest.mark.parametrize("together", [True, False])
def test_they_equal_copies_masked_by_hand(kind: str, together: bool) -> None:
    loaded = load(kind, "masked_lm")
    mask = loaded.tokenizer.mask_token_id
    asked = [MaskedSpanRequest(random_ids(n, n, 150), n // 3, n // 3 + 3, together) for n in (6, 9, 17, 30)]
    for batch in BATCHES:
        for request, answer in zip(asked, HFScorer(loaded, token_budget=batch * 30).ask(asked), strict=True):
            for slot, at in enumerate(range(request.start, request.end)):
                first = request.start if together else at
                ids = (*request.tokens[:first], *[mask] * (request.end - first), *request.tokens[request.end :])
                full = all_logprobs(loaded.model, ids)[at]
                assert answer.logprobs[slot] == pytest.approx(full[request.tokens[at]], abs=ATOL)
                assert answer.greedy[slot] == (full.argmax() == request.tokens[at])


def test_a_span_is_recovered_just_where_filling_it_gives_it() -> None:
    loaded = load("bert", "masked_lm")
    mask, ids = loaded.tokenizer.mask_token_id, list(random_ids(20, 3, 150))
    filled = [*ids[:8], *[mask] * 4, *ids[12:]]
    for at in range(8, 12):
        filled[at] = int(all_logprobs(loaded.model, tuple(filled))[at].argmax())
    theirs, mine = HFScorer(loaded).ask(
        [
            MaskedSpanRequest(tuple(filled), 8, 12),
            MaskedSpanRequest((*ids[:11], (filled[11] + 1) % 150, *ids[12:]), 8, 12),
        ]
    )
    assert theirs.greedy.all()
    assert not mine.greedy.all()


def test_a_span_of_one_is_a_masked_token_and_errors_are_said() -> None:
    one, ids = scorer("bert", "masked_lm"), random_ids(9, 2, 150)
    (span,) = one.ask([MaskedSpanRequest(ids, 4, 5)])
    (plain,) = one.ask([MaskedRequest(ids, (4,))])
    np.testing.assert_allclose(span.logprobs, plain.logprobs, atol=1e-6)
    outside, empty = one.ask([MaskedSpanRequest(ids, 7, 12), MaskedSpanRequest(ids, 4, 4)])
    assert outside.error == "a position lies outside the 9 tokens"
    assert (empty.error, len(empty.logprobs)) == (None, 0)
