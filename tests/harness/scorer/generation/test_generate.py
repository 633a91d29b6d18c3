from typing import Any

import numpy as np
import pytest
import torch

from harness.api.requests.sampling import SampleRequest
from harness.api.scorer import GenerateRequest
from harness.scorer.generation.decoding import alike, stop_tokens
from harness.scorer.hf import HFScorer
from tests.scoring import BATCHES, limit_memory, load, random_ids, scorer
from tests.tiny import DECODERS, MAX_TOKENS

VOCABULARY = 300
LONGEST = 30


def requests() -> list[GenerateRequest]:
    """Prompts of 1 to 20 tokens, continued by 10, and a few by 3."""
    lengths = np.random.default_rng(2).integers(1, 21, 24)
    return [
        GenerateRequest(random_ids(length, index, VOCABULARY), 3 if index % 8 == 0 else 10)
        for index, length in enumerate(lengths)
    ]


def argmax_loop(model: Any, request: GenerateRequest, stops: set[int]) -> tuple[int, ...]:
    """One full forward pass per new token, no cache, no batch."""
    ids = list(request.prompt)
    for _ in range(request.max_new_tokens):
        with torch.no_grad():
            token = int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax())
        if token in stops:
            break
        ids.append(token)
    return tuple(ids[len(request.prompt) :])


@pytest.mark.parametrize("kind", DECODERS)
def test_equals_an_argmax_loop_one_at_a_time_at_any_batch_size(kind: str) -> None:
    loaded = load(kind, "causal_lm")
    asked = requests()
    expected = [argmax_loop(loaded.model, request, stop_tokens(loaded.model, loaded.tokenizer)) for request in asked]
    assert len(set(expected)) > 5
    for batch in BATCHES:
        one = HFScorer(loaded, token_budget=batch * LONGEST)
        answers = one.ask(asked)
        assert [answer.tokens for answer in answers] == expected
        assert [answer.text for answer in answers] == [one.decode(tokens) for tokens in expected]


def test_only_alike_requests_share_batches() -> None:
    lengths, sizes = (9, 2, 3, 4, 5, 1), (4, 4, 8, 4, 4, 8)
    assert alike([(11,) * length for length in lengths], sizes, range(6)) == [[1, 3], [4], [0], [5, 2]]


def test_end_of_sequence_and_what_follows_are_removed() -> None:
    loaded = load("gpt2", "causal_lm")
    prompt = random_ids(8, 4, VOCABULARY)
    (free,) = HFScorer(loaded).ask([GenerateRequest(prompt, 8)])
    end = free.tokens[4]
    loaded.model.generation_config.eos_token_id = [end, 1]
    stopped, other = HFScorer(loaded).ask([GenerateRequest(prompt, 8), GenerateRequest((end,), 8)])
    assert stopped.tokens == free.tokens[: free.tokens.index(end)]
    assert other.tokens == argmax_loop(loaded.model, GenerateRequest((end,), 8), {end, 0, 1})


def test_sampling_settings_of_the_checkpoint_are_ignored() -> None:
    loaded = load("llama", "causal_lm")
    request = GenerateRequest(random_ids(8, 4, VOCABULARY), 8)
    (plain,) = HFScorer(loaded).ask([request])
    loaded.model.generation_config.update(do_sample=True, temperature=9.0, repetition_penalty=5.0)
    assert HFScorer(loaded).ask([request])[0].tokens == plain.tokens


def test_what_cannot_be_generated_is_an_error_of_that_answer_alone() -> None:
    one = scorer("gpt2", "causal_lm")
    long, empty, unknown, nothing, fits = one.ask(
        [
            GenerateRequest((11,) * 120, MAX_TOKENS - 119),
            GenerateRequest((), 5),
            GenerateRequest((99_999,), 5),
            GenerateRequest((11,), 0),
            GenerateRequest((11,) * 120, MAX_TOKENS - 120),
        ]
    )
    assert long.error == "a prompt of 120 and 9 new tokens are more than the 128 the model reads at once"
    assert empty.error == "there is no token to read"
    assert "outside the model's vocabulary" in str(unknown.error)
    assert (nothing.tokens, nothing.text, nothing.error) == ((), "", None)
    assert fits.error is None


def test_out_of_memory_halves_and_the_tokens_stay() -> None:
    asked = [GenerateRequest(random_ids(10, index, VOCABULARY), 5) for index in range(12)]
    expected = scorer("gpt2", "causal_lm").ask(asked)
    small = limit_memory(load("gpt2", "causal_lm"), 40, torch.OutOfMemoryError("CUDA out of memory"))
    one = HFScorer(small)
    *answers, big = one.ask([*asked, GenerateRequest(random_ids(50, 1, VOCABULARY), 5)])
    assert answers == expected
    assert big.error == "out of memory on cpu for a single row of 55 tokens"
    assert one.counts.halvings > 0


def test_non_finite_logits_are_an_error_of_that_answer_alone() -> None:
    loaded = load("opt", "causal_lm")
    asked = [GenerateRequest((20, 77, 21), 4), GenerateRequest((20, 21, 22), 4)]
    expected = HFScorer(loaded).ask(asked)[1]
    with torch.no_grad():
        loaded.model.get_input_embeddings().weight[77] = float("nan")
        loaded.model.get_output_embeddings().weight = torch.nn.Parameter(
            loaded.model.get_input_embeddings().weight.nan_to_num(0.0)
        )
    bad, good = HFScorer(loaded).ask(asked)
    assert (bad.tokens, bad.error) == ((), "non-finite logits")
    assert good == expected


def test_counts_are_exact() -> None:
    one = scorer("gpt2", "causal_lm", token_budget=28)
    loaded = load("gpt2", "causal_lm")
    asked = [GenerateRequest(random_ids(length, index, VOCABULARY), 4) for index, length in enumerate((10, 9, 5))]
    made = one.ask(asked)
    assert [len(answer.tokens) for answer in made] == [4, 4, 4]
    assert [answer.tokens for answer in made] == [argmax_loop(loaded.model, request, {0}) for request in asked]
    counts = one.counts_of("generate")
    # the last new token is never read; the prompt of 9 is done a step before the one of 10 in its batch
    assert (counts.rows, counts.batches) == (3, 2)
    assert (counts.tokens, counts.padded_tokens) == (13 + 12 + 8, 2 * 13 + 8)


def test_rows_that_end_leave_the_batch() -> None:
    one = scorer("llama", "causal_lm", token_budget=10_000)
    asked = [GenerateRequest(random_ids(4, index, VOCABULARY), index + 1) for index in range(8)]
    answers = one.ask(asked)
    assert [len(answer.tokens) for answer in answers] == list(range(1, 9))
    counts = one.counts_of("generate")
    assert (counts.batches, counts.padded_tokens) == (1, 8 * 4 + sum(range(8)))
    assert counts.tokens == counts.padded_tokens


def test_equal_prompts_are_read_once() -> None:
    one = scorer("llama", "causal_lm", token_budget=10_000)
    prompt = random_ids(9, 1, VOCABULARY)
    (answer,) = one.ask([SampleRequest(prompt, 1, seed=3, samples=20)])
    assert len(answer.samples) == 20
    assert one.counts_of("sample").padded_tokens == len(prompt)
