"""Frozen layers are read once: the weights come out the same, the layers are not run again, and odd models are left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file

from privacy.training import TrainSpec, train
from privacy.training import run as run_module
from privacy.training.models import frozen_below
from tests.privacy.toys import make_base, make_spec

SGD = {"optimizer": "sgd", "learning_rate": 0.1}
"""AdamW makes steps of the rounding in a gradient that is zero, as that of a key's bias."""
EXACT = {"noise_multiplier": 0.0, "max_grad_norm": 1e6, "sampling": "shuffle"}
LORA = {"rank": 2, "alpha": 4}
TARGETS = {"bert": "layer.1.output.dense", "gpt2": "h.1.mlp.c_fc", "llama": "layers.1.mlp.up_proj"}


def found_in(patch: pytest.MonkeyPatch) -> list[Any]:
    """What is found, run by run."""
    found: list[Any] = []
    looked = frozen_below.find_below

    def noted(*args: Any) -> Any:
        found.append(looked(*args))
        return found[-1]

    patch.setattr(run_module, "find_below", noted)
    return found


def trained(spec: TrainSpec) -> dict[str, torch.Tensor]:
    train(spec)
    found: dict[str, torch.Tensor] = load_file(spec.output / "model.safetensors")
    return found


@pytest.mark.parametrize("kind", ["bert", "roberta", "gpt2", "llama"])
@pytest.mark.parametrize("how", ["last-layers", "lora"])
@pytest.mark.parametrize("private", [False, True])
def test_the_weights_are_those_of_training_through_all_layers(
    kind: str, how: str, private: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = make_base(tmp_path / "base", kind, "classifier", dropout=False)
    target = TARGETS.get(kind, TARGETS["bert"])
    chosen = {"mode": how} if how != "lora" else {"lora": {**LORA, "targets": (target,)}}
    own = {"batch_size": 16, "accumulation": 2, "epochs": 2, "privacy": EXACT if private else None, **SGD}
    spec = make_spec(tmp_path, base, **chosen, **own)
    found = found_in(monkeypatch)
    ours = trained(spec)
    assert found[-1] is not None
    assert len(found[-1].layers) == 1
    monkeypatch.setattr(run_module, "find_below", lambda *_: None)
    theirs = trained(spec.model_copy(update={"output": tmp_path / "whole"}))
    before = load_file(base / "model.safetensors")
    assert any(not torch.equal(before[name], theirs[name]) for name in before)
    for name, value in theirs.items():
        assert torch.allclose(ours[name], value, atol=5e-5), name


def test_a_causal_lm_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = make_base(tmp_path / "base", "gpt2", "causal_lm", dropout=False)
    lora = {**LORA, "targets": (TARGETS["gpt2"],)}
    spec = make_spec(tmp_path, base, task="causal_lm", lora=lora, batch_size=16, privacy=EXACT, **SGD)
    found = found_in(monkeypatch)
    ours = trained(spec)
    assert found[-1] is not None
    monkeypatch.setattr(run_module, "find_below", lambda *_: None)
    theirs = trained(spec.model_copy(update={"output": tmp_path / "whole"}))
    for name, value in theirs.items():
        assert torch.allclose(ours[name], value, atol=5e-5), name


def test_frozen_layers_are_run_once_a_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers.models.bert.modeling_bert import BertLayer

    base = make_base(tmp_path / "base", "bert", "classifier")
    spec = make_spec(tmp_path, base, mode="last-layers", batch_size=16, epochs=5)
    records = len(Path(spec.data.source).read_text().splitlines())
    seen = {"both": 0}
    forward = BertLayer.forward

    def counted(layer: Any, hidden: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        seen["both"] += len(hidden)
        return forward(layer, hidden, *args, **kwargs)

    monkeypatch.setattr(BertLayer, "forward", counted)
    train(spec)
    tried = 5  # twice three records, through one layer the second time, none of them in the first's place
    assert seen["both"] <= records * 2 + records * 5 + 3 * tried
    assert seen["both"] >= records * 2 + records * 5


@pytest.mark.parametrize("settings", [{}, {"mode": "bitfit"}, {"mode": "last-layers", "last_layers": 2}])
def test_a_model_whose_first_layer_is_trained_has_nothing_to_keep(
    settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = found_in(monkeypatch)
    train(make_spec(tmp_path, make_base(tmp_path / "base", "bert", "classifier"), **settings))
    assert found == [None]


@pytest.mark.parametrize("why", ["memory", "regions", "another answer"])
def test_what_does_not_do_is_read_by_each_step(why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings: dict[str, Any] = {"mode": "last-layers", "privacy": EXACT, "batch_size": 16}
    if why == "memory":
        monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Free", (), {"available": 1000})())
    elif why == "regions":
        settings["gradient_checkpointing"] = True
    else:
        monkeypatch.setattr(frozen_below, "_without", lambda *_: torch.zeros(3, 2))
    found = found_in(monkeypatch)
    made = train(make_spec(tmp_path, make_base(tmp_path / "base", "bert", "classifier"), **settings))
    assert found == [None]
    assert made.manifest.steps > 0


def test_masks_that_are_drawn_anew_need_all_layers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = found_in(monkeypatch)
    base = make_base(tmp_path / "base", "bert", "masked_lm")
    train(make_spec(tmp_path, base, task="masked_lm", lora={**LORA, "targets": (TARGETS["bert"],)}, batch_size=16))
    assert found == [None]
