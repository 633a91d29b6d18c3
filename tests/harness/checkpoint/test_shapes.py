from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers

from harness.checkpoint.heads import Head
from harness.checkpoint.shapes import build_empty, undrawn

TINY = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "vocab_size": 30}


def test_nothing_is_drawn_and_other_changes_are_made() -> None:
    weights = torch.zeros(3, 3)
    with undrawn():
        weights.normal_().uniform_(1, 2)
        for name in ("normal_", "uniform_", "trunc_normal_", "xavier_uniform_", "kaiming_normal_", "kaiming_uniform_"):
            getattr(torch.nn.init, name)(weights)
        assert not weights.any()
        weights.fill_(2)
    assert (weights == 2).all()
    assert weights.normal_().std() > 0


@pytest.mark.parametrize(
    "config",
    [transformers.BertConfig(**TINY), transformers.GPT2Config(n_embd=8, n_layer=1, n_head=2, vocab_size=30)],
    ids=lambda config: str(config.model_type),
)
def test_the_empty_model_has_the_shapes_and_ties_of_the_real_one(config: Any) -> None:
    head = Head.MASKED_LM if config.model_type == "bert" else Head.CAUSAL_LM
    real = getattr(transformers, head.auto_class).from_config(config)
    empty = build_empty(config, head, "x", numbers=10_000_000, tensors=1_000)
    assert {name: value.shape for name, value in empty.state_dict().items()} == {
        name: value.shape for name, value in real.state_dict().items()
    }
    assert len(list(empty.parameters())) == len(list(real.parameters()))
    assert {value.device.type for value in empty.state_dict().values()} == {"meta"}
