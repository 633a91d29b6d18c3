"""Book-keeping under gradient checkpointing: the same sums as without, and the inputs not kept."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from privacy.clipping import BookKeepingEngine, ClippingEngine, ClippingError, OneSampleEngine
from privacy.clipping.layers.linear import LinearLayer
from tests.privacy.clipping_cases import add_lora, language_head, make_batch, make_model, relative_error, run
from tests.tiny import KINDS

CHECKPOINTED = [kind for kind in KINDS if kind not in {"deberta-v2", "xlnet", "mpnet", "albert"}]


def prepared(kind: str, head: str, *, lora: bool, checkpointed: bool) -> Any:
    """Regions in training mode, where transformers checkpoints them; what is in them not, so that none drops out."""
    model = make_model(kind, head)
    if lora:
        torch.manual_seed(0)
        model = add_lora(model, kind)
    for module in model.modules():
        module.training = hasattr(module, "gradient_checkpointing")
        if isinstance(getattr(module, "dropout", None), float):  # OPT's layers drop out by themselves
            vars(module)["dropout"] = 0.0
    if checkpointed:
        model.gradient_checkpointing_enable()
    return model


def sums_of(kind: type[ClippingEngine], model: Any, head: str, steps: int = 2) -> dict[str, torch.Tensor]:
    """Of two micro-batches: the first is also checked against autograd, the second is not."""
    engine = kind(model, max_grad_norm=0.05)
    for seed in range(steps):
        run(engine, model, make_batch(model, head, seed=seed), head)
    return engine.summed_grads()


@pytest.mark.parametrize("lora", [False, True])
@pytest.mark.parametrize("kind", CHECKPOINTED)
def test_sums_are_those_without_checkpointing(kind: str, lora: bool) -> None:
    head = language_head(kind)
    expected = sums_of(OneSampleEngine, prepared(kind, head, lora=lora, checkpointed=False), head)
    model = prepared(kind, head, lora=lora, checkpointed=True)
    found = sums_of(BookKeepingEngine, model, head)
    exact = 1e-5 if kind == "gpt-neo" else 1e-6  # it attends in float32, whatever its weights
    assert relative_error(found, expected) < exact


def test_dropout_is_the_same_in_both_runs() -> None:
    """Two engines seeded alike draw the same masks, so that sums differ only if the second run drew others."""
    sums = []
    for checkpointed in (False, True):
        model = prepared("gpt2", "causal_lm", lora=False, checkpointed=checkpointed)
        for module in model.modules():
            module.training |= isinstance(module, nn.Dropout)
        torch.manual_seed(3)
        sums.append(sums_of(BookKeepingEngine, model, "causal_lm"))
    for name, value in sums[0].items():
        torch.testing.assert_close(sums[1][name], value, rtol=1e-6, atol=1e-9)


def test_one_sample_gradients_pass_through_regions() -> None:
    kind = "llama"
    plain = sums_of(OneSampleEngine, prepared(kind, "causal_lm", lora=False, checkpointed=False), "causal_lm")
    model = prepared(kind, "causal_lm", lora=False, checkpointed=False)
    model.gradient_checkpointing_enable({"use_reentrant": False})
    for name, value in sums_of(OneSampleEngine, model, "causal_lm").items():
        torch.testing.assert_close(value, plain[name], rtol=1e-6, atol=1e-9)


def test_no_input_is_kept_between_the_two_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Layers in a region hand over memory of the second run: none of it is that of the first."""
    model = prepared("llama", "causal_lm", lora=True, checkpointed=True)
    first: set[int] = set()
    used: list[int] = []
    kept: list[torch.Tensor] = []  # else an address could be used again
    layers = [module for name, module in model.named_modules() if name.endswith("lora_A.default")]

    def note(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        kept.append(inputs[0])
        first.add(inputs[0].data_ptr())

    gradients = LinearLayer.gradients

    def spy(self: LinearLayer, module: nn.Module, given: Any, grad: Any, wanted: Any) -> Any:
        if module in layers:
            used.append(given.data_ptr())
        return gradients(self, module, given, grad, wanted)

    monkeypatch.setattr(LinearLayer, "gradients", spy)
    engine = BookKeepingEngine(model, max_grad_norm=1.0)
    run(engine, model, make_batch(model, "causal_lm"), "causal_lm")
    used.clear()
    handles = [module.register_forward_pre_hook(note) for module in layers]
    batch = make_batch(model, "causal_lm", seed=1)
    with engine.recording(3):
        losses = model(**batch).logits.square().mean(dim=(1, 2))
    for handle in handles:
        handle.remove()
    engine.backward(losses)
    assert len(used) == len(layers)
    assert not first & set(used)


def test_the_function_of_the_model_is_its_own_again() -> None:
    model = prepared("llama", "causal_lm", lora=False, checkpointed=True)
    before = model.model.layers[0]._gradient_checkpointing_func
    sums_of(BookKeepingEngine, model, "causal_lm", steps=1)
    assert model.model.layers[0]._gradient_checkpointing_func is before


def test_other_checkpointing_is_refused() -> None:
    model = nn.Sequential(nn.Linear(2, 2))
    vars(model)["gradient_checkpointing"] = True
    engine = BookKeepingEngine(model, max_grad_norm=1.0)
    with pytest.raises(ClippingError, match="is not transformers'"), engine.recording(1):
        pass
