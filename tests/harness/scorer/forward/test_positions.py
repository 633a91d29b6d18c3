from typing import Any

import numpy as np
import pytest
import torch
import transformers

from harness.scorer.forward.positions import NeededPositions, Wanted
from harness.scorer.forward.trunk import agree
from tests.scoring import load
from tests.tiny import DECODERS, ENCODERS

VOCABULARY = 96
SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
}


def wanted() -> Wanted:
    """Entries out of order, two of them at one place."""
    return Wanted(row=np.array([1, 0, 1, 0]), position=np.array([4, 2, 4, 0]), token=np.array([11, 12, 13, 14]))


def expected(model: Any, ids: torch.Tensor) -> tuple[list[float], list[bool]]:
    with torch.no_grad():
        full = torch.log_softmax(model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits.double(), dim=-1)
    asked = wanted()
    entries = zip(asked.row, asked.position, asked.token, strict=True)
    rows = [(full[row, position], token) for row, position, token in entries]
    return [float(row[token]) for row, token in rows], [int(row.argmax()) == token for row, token in rows]


def check(model: Any, *, chunk: int = 1000) -> NeededPositions:
    vocabulary = model.config.vocab_size
    ids = torch.randint(10, 90, (2, 6), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        positions = NeededPositions(model, vocabulary, chunk_bytes=4 * vocabulary * chunk)
        logprobs, greedy = positions.score({"input_ids": ids, "attention_mask": torch.ones_like(ids)}, wanted())
    reference, argmax = expected(model, ids)
    np.testing.assert_allclose(logprobs, reference, atol=1e-5, rtol=0)
    assert greedy.tolist() == argmax
    return positions


@pytest.mark.parametrize("kind", [kind for kind in (*ENCODERS, *DECODERS) if kind != "xlnet"])
def test_every_architecture_is_split(kind: str) -> None:
    model = load(kind, "masked_lm" if kind in ENCODERS else "causal_lm").model
    assert check(model).is_split
    assert "forward" not in model.base_model.__dict__


@pytest.mark.parametrize(
    ("config", "extra"),
    [
        ("Gemma2Config", {"final_logit_softcapping": 2.0}),
        ("GPTJConfig", {"n_embd": 32, "n_layer": 2, "n_head": 2, "rotary_dim": 8}),
        ("CohereConfig", {"logit_scale": 0.3}),
        ("Qwen2Config", {}),
        ("MixtralConfig", {"num_local_experts": 2}),
        ("PhiConfig", {"num_key_value_heads": 2}),
        ("BloomConfig", {"n_layer": 2, "n_head": 2}),
        ("MegatronBertConfig", {"is_decoder": True}),
    ],
)
def test_heads_that_cap_or_scale_their_logits_are_split(config: str, extra: dict[str, Any]) -> None:
    torch.manual_seed(0)
    settings = getattr(transformers, config)(**{**SIZES, **extra})
    model = transformers.AutoModelForCausalLM.from_config(settings).eval()
    assert check(model).is_split


@pytest.mark.parametrize("chunk", [1, 2, 3])
def test_the_chunk_size_changes_nothing(chunk: int) -> None:
    check(load("gpt2", "causal_lm").model, chunk=chunk)


class Centred(torch.nn.Linear):
    """A head that is not pointwise: it subtracts the mean over the positions of the row."""

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return super().forward(states - states.mean(1, keepdim=True))


def test_a_head_that_mixes_positions_takes_the_full_pass() -> None:
    model = load("llama", "causal_lm").model
    head = Centred(32, model.config.vocab_size, bias=False)
    head.weight = model.lm_head.weight
    model.lm_head = head
    for chunk in (1, 1000):
        assert not check(model, chunk=chunk).is_split


def test_a_model_whose_trunk_is_not_found_takes_the_full_pass() -> None:
    model = load("gpt2", "causal_lm").model
    trunk = model.transformer
    model.base_model_prefix = "absent"
    positions = check(model)
    assert not positions.is_split
    with torch.inference_mode():
        ids = torch.tensor([[11, 12, 13]])
        slow, _ = positions.next_token(ids, 0, None)
        model.base_model_prefix = "transformer"
        fast, cache = NeededPositions(model, model.config.vocab_size).next_token(ids, 0, None)
    assert model.base_model is trunk
    assert torch.allclose(slow, fast, atol=1e-5)
    assert cache.get_seq_length() == 3


def test_the_trunk_gets_its_forward_back_after_an_error() -> None:
    model = load("gpt2", "causal_lm").model
    positions = NeededPositions(model, model.config.vocab_size)
    own = model.transformer.forward
    model.transformer.forward = own  # as accelerate's hooks do
    model.lm_head.register_forward_pre_hook(_fail)
    with pytest.raises(ZeroDivisionError):
        positions.score({"input_ids": torch.tensor([[11, 12, 13, 14, 15]] * 2)}, wanted())
    assert model.transformer.__dict__["forward"] == own


def _fail(*_: Any) -> None:
    raise ZeroDivisionError


def test_agreement_allows_the_rounding_of_the_dtype_only() -> None:
    left = torch.tensor([1.0, float("nan")])
    assert agree(left + 5e-6, left, torch.float32)
    assert not agree(left + 1e-4, left, torch.float32)
    assert agree(left + 1e-2, left, torch.bfloat16)
    assert not agree(left + 1e-1, left, torch.bfloat16)
    assert not agree(left, left[:1], torch.float32)
