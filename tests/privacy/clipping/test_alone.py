"""Records are compared alone and together: what is found, and what is left as it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn
from torch.nn import functional

from privacy.clipping.alone import differs_alone
from privacy.clipping.losses import class_losses

_LENGTHS = (3, 12, 37)
_LIMIT = 40


class _Toy(nn.Module):
    """A table of tokens, something done to their vectors [samples, positions, 8], the mean of what is no padding."""

    def __init__(self, middle: Callable[[_Toy, Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.table = nn.Embedding(50, 8)
        self.out = nn.Linear(8, 2)
        self.drop = nn.Dropout(0.5)
        self.middle = middle
        self.gate = nn.Parameter(torch.zeros(()))
        self.seen = 0

    def forward(self, ids: Tensor) -> Tensor:
        mask = (ids != 0).unsqueeze(2)
        values = self.middle(self, self.table(ids), mask)
        result: Tensor = self.out((values * mask).sum(dim=1) / mask.sum(dim=1))
        return result


def _own(toy: _Toy, values: Tensor, mask: Tensor) -> Tensor:
    return values.tanh()


def _dropout(toy: _Toy, values: Tensor, mask: Tensor) -> Tensor:
    return functional.dropout(toy.drop(values), 0.5, training=toy.training)


def _chance(toy: _Toy, values: Tensor, mask: Tensor) -> Tensor:
    return values + torch.randn_like(values) if toy.training else values


def _mean_of_batch(toy: _Toy, values: Tensor, mask: Tensor) -> Tensor:
    return values - values.mean(dim=(0, 1)) if toy.training else values


def _sees_padding(toy: _Toy, values: Tensor, mask: Tensor) -> Tensor:
    return values + 0.01 * values.roll(1, dims=1)


def _would_see_padding(toy: _Toy, values: Tensor, mask: Tensor) -> Tensor:
    """Once its gate has had noise."""
    return values + toy.gate * values.roll(1, dims=1)


def _length(toy: _Toy, values: Tensor, mask: Tensor) -> Tensor:
    return values * (1 + 1e-3 * values.shape[1])


def _gradient_of_others(toy: _Toy, values: Tensor, mask: Tensor) -> Tensor:
    other = values.flip(0).mean(dim=1, keepdim=True)
    return values + 0.1 * (other - other.detach())


def _counts(toy: _Toy, values: Tensor, mask: Tensor) -> Tensor:
    toy.seen += 1
    return values * (1 + 0.01 * toy.seen)


def _switches_for_good(toy: _Toy, values: Tensor, mask: Tensor) -> Tensor:
    toy.seen |= values.shape[1] < 5
    return values if toy.seen else 2 * values


def _draw(lengths: tuple[int, ...] = _LENGTHS, length: int | None = None) -> tuple[list[Tensor], Tensor]:
    """Records alone and together, padded with zeros to `length`, else to the longest of those together."""
    generator = torch.Generator().manual_seed(1)
    drawn = [torch.randint(5, 50, (1, n), generator=generator) for n in lengths]

    def padded(ids: Tensor, to: int) -> Tensor:
        return functional.pad(ids, (0, to - ids.shape[1]))

    singles = [ids if length is None else padded(ids, length) for ids in drawn]
    return singles, torch.cat([padded(ids, length or max(lengths)) for ids in drawn])


def _losses(model: nn.Module, ids: Tensor) -> Tensor:
    output = model(ids)
    return class_losses(getattr(output, "logits", output), ids[:, 0] % 2)


def _toy(middle: Callable[[_Toy, Tensor, Tensor], Tensor]) -> _Toy:
    torch.manual_seed(0)
    return _Toy(middle)


@pytest.mark.parametrize(
    ("middle", "own_length", "fixed"),
    [
        (_own, None, None),
        (_dropout, None, None),
        (_chance, None, None),
        (_switches_for_good, None, None),
        (_mean_of_batch, "the loss", "the loss"),
        (_sees_padding, "the loss", None),
        (_would_see_padding, "the loss", None),
        (_length, "the loss", None),
        (_gradient_of_others, "the gradient of table.weight", "the gradient of table.weight"),
        (_counts, "the loss", "the loss"),
    ],
)
def test_what_depends_on_others_is_found(middle: Any, own_length: str | None, fixed: str | None) -> None:
    assert differs_alone(_toy(middle), _losses, *_draw()) == own_length
    assert differs_alone(_toy(middle), _losses, *_draw(length=_LIMIT)) == fixed


def test_what_is_left_behind_shows_without_company() -> None:
    singles, _ = _draw()
    assert differs_alone(_toy(_counts), _losses, singles, None) == "the loss"
    assert differs_alone(_toy(_sees_padding), _losses, singles, None) is None


def test_a_small_effect_is_found_though_training_is_in_bfloat16() -> None:
    """One part in a thousand is below what bfloat16 can tell, and adds up over the records of a batch."""
    small = lambda toy, values, mask: values * (1 + 3e-4 * (values.shape[1] == max(_LENGTHS)))  # noqa: E731
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert differs_alone(_toy(small), _losses, *_draw()) is not None
        assert differs_alone(_toy(_own), _losses, *_draw()) is None


def test_everything_is_left_as_it_was() -> None:
    model = _toy(_dropout).train()
    model.drop.eval()
    model.out.weight.grad = torch.ones(2, 8)
    torch.manual_seed(7)
    state = torch.get_rng_state()
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    torch.set_float32_matmul_precision("high")
    try:
        assert differs_alone(model, _losses, *_draw()) is None
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision("highest")
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    assert (model.training, model.drop.training, model.out.training) == (True, False, True)
    assert model.out.weight.grad.tolist() == torch.ones(2, 8).tolist()
    assert model.table.weight.grad is None


def test_records_without_a_finite_loss_tell_nothing() -> None:
    model = _toy(lambda toy, values, mask: values * torch.inf)
    assert differs_alone(model, _losses, *_draw()) is None


_SMALL = {
    **{"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64},
    **{"max_position_embeddings": 64, "pad_token_id": 0, "initializer_range": 0.2},
}
_FUNNEL = {"vocab_size": 60, "block_sizes": [1, 1, 1], "d_model": 32, "n_head": 4, "d_head": 8, "d_inner": 64}
_MODELS: dict[str, tuple[dict[str, Any], bool]] = {
    "bert": (_SMALL, True),
    "big_bird": ({**_SMALL, "block_size": 2, "num_random_blocks": 1}, True),
    "deberta-v2": (_SMALL, True),
    "distilbert": ({"vocab_size": 60, "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64}, True),
    "gpt2": ({"vocab_size": 60, "n_embd": 32, "n_layer": 2, "n_head": 4, "pad_token_id": 0}, True),
    "llama": ({**_SMALL, "num_key_value_heads": 2}, True),
    "longformer": ({**_SMALL, "attention_window": [8, 8]}, True),
    "convbert": ({**_SMALL, "embedding_size": 32, "head_ratio": 2, "conv_kernel_size": 5}, False),
    "mobilebert": ({**_SMALL, "embedding_size": 32, "intra_bottleneck_size": 16, "num_attention_heads": 2}, False),
    "fnet": ({name: value for name, value in _SMALL.items() if "heads" not in name}, False),
    "funnel": ({**_FUNNEL, "initializer_std": 0.3}, False),
    "nystromformer": ({**_SMALL, "num_landmarks": 4, "segment_means_seq_len": 4}, False),
    "yoso": (_SMALL, False),
}
"""Settings, and whether a record's loss is its own however long the others are."""


@pytest.mark.parametrize("kind", sorted(_MODELS))
def test_architectures(kind: str) -> None:
    """Those that see padding are cured by padding all records to one length."""
    values, own = _MODELS[kind]
    torch.manual_seed(0)
    config = transformers.CONFIG_MAPPING[kind](**values, num_labels=2)
    model = transformers.AutoModelForSequenceClassification.from_config(config)

    def losses(model: nn.Module, ids: Tensor) -> Tensor:
        masked = {} if kind == "fnet" else {"attention_mask": (ids != 0).long()}
        return class_losses(model(input_ids=ids, **masked).logits, ids[:, 0] % 2)

    lengths = (5, 9, 11) if kind == "funnel" else _LENGTHS  # of some others it cannot read
    assert (differs_alone(model, losses, *_draw(lengths)) is None) == own
    assert differs_alone(model, losses, *_draw(lengths, _LIMIT)) is None


@pytest.mark.parametrize("kind", ["bert", "gpt2", "llama"])
def test_layers_that_run_twice_run_without_dropout_both_times(kind: str) -> None:
    """The second run is within the backward pass; with other dropout it would be of other kernels, and fail."""
    values = dict(_MODELS[kind][0])
    torch.manual_seed(0)
    config = transformers.CONFIG_MAPPING[kind](
        **values, num_labels=2, **({"attention_dropout": 0.5} if kind == "llama" else {})
    )
    model = transformers.AutoModelForSequenceClassification.from_config(config)
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    chances = [module.p for module in model.modules() if isinstance(module, nn.Dropout)]

    def losses(model: nn.Module, ids: Tensor) -> Tensor:
        return class_losses(model(input_ids=ids, attention_mask=(ids != 0).long()).logits, ids[:, 0] % 2)

    assert differs_alone(model, losses, *_draw()) is None
    assert [module.p for module in model.modules() if isinstance(module, nn.Dropout)] == chances
    assert kind == "llama" or max(chances) > 0
