from types import SimpleNamespace

import numpy as np
import pytest

from harness.api.scorer import EmbedRequest, GenerateRequest, MaskedRequest, TextRequest, TokenRequest
from harness.errors import UsageError
from harness.scorer.forward.memory import default_budget, default_padding
from harness.scorer.hf import HFScorer
from tests.scoring import load, random_ids, scorer
from tests.tiny import DECODERS, MAX_TOKENS, heads_of


def test_a_method_the_checkpoint_does_not_offer_is_refused_in_a_sentence() -> None:
    encoder, decoder = scorer("bert", "masked_lm"), scorer("gpt2", "causal_lm")
    refused = r"^classify needs a sequence classifier; .*tiny-bert offers embeddings, masked LM$"
    with pytest.raises(UsageError, match=refused):
        encoder.ask([TextRequest("a")])
    with pytest.raises(UsageError, match=r"token_logprobs needs a causal LM; .*tiny-bert"):
        encoder.ask([TokenRequest((1,), (2,))])
    with pytest.raises(UsageError, match=r"generate needs a causal LM; .*tiny-bert"):
        encoder.ask([GenerateRequest((1,), 2)])
    with pytest.raises(UsageError, match=r"pseudo_log_likelihood needs a masked LM; .*tiny-gpt2"):
        decoder.ask([MaskedRequest((1,), (0,))])


def test_no_requests_no_work() -> None:
    decoder = scorer("gpt2", "causal_lm")
    assert decoder.ask([]) == []
    assert scorer("bert", "masked_lm").ask([]) == []
    assert (decoder.counts.rows, decoder.counts.padding_waste) == (0, None)


def test_start_token_is_bos_else_eos_else_an_error() -> None:
    assert scorer("llama", "causal_lm").start_token == load("llama", "causal_lm").tokenizer.bos_token_id
    loaded = load("llama", "causal_lm")
    loaded.tokenizer.bos_token = None
    assert HFScorer(loaded).start_token == loaded.tokenizer.eos_token_id
    with pytest.raises(UsageError, match="names no BOS and no EOS token"):
        _ = scorer("bert", "masked_lm").start_token


def test_texts_to_tokens_and_back() -> None:
    encoder, decoder = scorer("bert", "masked_lm"), scorer("llama", "causal_lm")
    tokens = encoder.encode("the man !")
    assert encoder.decode(tokens) == "[CLS] the man! [SEP]"
    assert encoder.special_positions(tokens) == (True, False, False, False, True)
    assert encoder.encode("the man !", special=False) == tokens[1:-1]
    assert decoder.decode(decoder.encode(" the  man", special=False)) == " the  man"
    assert decoder.special_positions(decoder.encode(" the man")) == (True, False, False)
    assert len(encoder.encode("good " * 500)) == 502


def test_an_unknown_word_is_text_and_the_mask_is_not() -> None:
    encoder = scorer("bert", "masked_lm")
    tokenizer = load("bert", "masked_lm").tokenizer
    marks = (tokenizer.unk_token_id, tokenizer.mask_token_id, tokenizer.pad_token_id)
    assert encoder.special_positions(marks) == (False, True, True)


def test_counts_of_several_kinds_add_up() -> None:
    one = scorer("gpt2", "causal_lm")
    one.ask([TokenRequest((11, 12), (13, 14))])
    one.ask([EmbedRequest(" the man")])
    one.ask([GenerateRequest((11, 12), 3)])
    parts = [one.counts_of(kind) for kind in ("token_logprobs", "embed", "generate")]
    for name in ("rows", "tokens", "padded_tokens", "batches", "seconds"):
        assert getattr(one.counts, name) == pytest.approx(sum(getattr(part, name) for part in parts))
    assert one.counts.by_kind == {"token_logprobs": 1, "embed": 1, "generate": 1}
    assert one.max_tokens == MAX_TOKENS
    assert one.info.model_type == "gpt2"


def test_token_budgets() -> None:
    with pytest.raises(UsageError, match="token budget of 0"):
        scorer("gpt2", "causal_lm", token_budget=0)
    tiny = load("gpt2", "causal_lm").model
    large = SimpleNamespace(config=SimpleNamespace(hidden_size=4096))
    assert (default_budget("cpu", tiny), default_budget("cpu", large)) == (8192, 1024)
    assert (default_padding("cpu", tiny), default_padding("cpu", large)) == (1024, 32)
    assert default_padding("cuda:0", large) is None


@pytest.mark.parametrize("kind", [*DECODERS, "bert", "deberta-v2"])
def test_half_precision_is_split_too_and_close(kind: str) -> None:
    head = heads_of(kind)[0]
    full = HFScorer(load(kind, head))
    half = HFScorer(load(kind, head, dtype="bf16"))
    ids = random_ids(12, 3, 100)
    if head == "causal_lm":
        (expected,), (answer,) = (one.ask([TokenRequest(ids[:4], ids[4:])]) for one in (full, half))
    else:
        (expected,), (answer,) = (one.ask([MaskedRequest(ids, (2, 5))]) for one in (full, half))
    assert half.scores_needed_positions_only
    assert 0 < np.abs(answer.logprobs - expected.logprobs).max() < 0.3
