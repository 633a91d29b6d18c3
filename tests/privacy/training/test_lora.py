from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.utils import set_seed
from safetensors.torch import load_file, save_file

from harness.api.needs import Need
from harness.checkpoint import CheckpointSource, inspect_checkpoint, load_checkpoint
from harness.errors import UsageError
from privacy.clipping import BookKeepingEngine
from privacy.training import TrainSpec, train
from privacy.training.data.batches import Collator, MicroBatch, padding_values
from privacy.training.data.load import load_training_data
from privacy.training.data.tokens import encode_documents, encode_records
from privacy.training.models.load import finished, load_trainable
from privacy.training.models.objective import Objective, causal_lm, classification, masked_lm, with_classes
from tests.privacy.toys import make_base, make_spec, opinions
from tests.tiny import make_checkpoint

CASES = [
    ("bert", "masked_lm", "masked_lm"),
    ("roberta", "masked_lm", "masked_lm"),
    ("gpt2", "causal_lm", "causal_lm"),
    ("llama", "causal_lm", "causal_lm"),
    ("bert", "masked_lm", "classification"),
    ("gpt2", "causal_lm", "classification"),
    ("electra", "base", "classification"),
]


def adapted(folder: Path, kind: str, head: str, task: str, **lora: Any) -> tuple[Any, Any, TrainSpec]:
    base = make_base(folder / "base", kind, head, dropout=False)
    spec = make_spec(folder, base, task=task, lora={"rank": 2, **lora})
    assert spec.base is not None
    set_seed(0)
    return (*load_trainable(spec, inspect_checkpoint(spec.base), load_training_data(spec), 32), spec)


def batch_of(task: str, tokenizer: Any, segments: bool) -> tuple[Objective, MicroBatch]:
    rows = opinions(6, seed=1)
    texts = [row["text"] for row in rows]
    if task == "causal_lm":
        objective, records = causal_lm(), encode_documents(tokenizer, texts, 32).records
    else:
        records = encode_records(tokenizer, texts, None, 32, segments=segments).records
        if task == "classification":
            objective, records = classification(), with_classes(records, [0, 1] * 3)
        else:
            objective = masked_lm(tokenizer, 0.3, seed=0)
    collator = Collator(objective.add_labels, padding_values(tokenizer), parts=1, pad_left=False)
    return objective, collator.micro_batch(records)


def trained_names(model: Any) -> set[str]:
    return {name for name, value in model.named_parameters() if value.requires_grad}


def descend(model: Any, objective: Objective, batch: MicroBatch, steps: int = 3) -> None:
    optimizer = torch.optim.AdamW([value for value in model.parameters() if value.requires_grad], lr=0.05)
    for _ in range(steps):
        torch.autograd.backward(objective.losses(model, batch).mean())
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.parametrize(("kind", "head", "task"), CASES)
def test_only_adapters_and_a_new_head_change(kind: str, head: str, task: str, tmp_path: Path) -> None:
    model, tokenizer, _ = adapted(tmp_path, kind, head, task)
    plain = model.get_base_model()
    before = {name: value.clone() for name, value in plain.state_dict().items() if "lora_" not in name}
    fixed = {name.removesuffix(".weight") for name in before if ".base_layer." in name}
    model.eval()
    objective, batch = batch_of(task, tokenizer, segments=kind in {"bert", "electra"})
    descend(model, objective, batch)
    with torch.no_grad():
        unmerged = objective.losses(model, batch)
        after = finished(model)
        torch.testing.assert_close(objective.losses(after, batch), unmerged, rtol=1e-4, atol=1e-5)
    heads = {name for name in dict(after.named_parameters()) if name.startswith(("classifier", "score", "bert.pooler"))}
    changed = {name for name, value in after.state_dict().items() if not torch.equal(value, named(before, name))}
    targets = {name.replace(".base_layer", "") + ".weight" for name in fixed if not name.endswith("bias")}
    assert targets
    assert changed == targets | (heads if task == "classification" else set())


def named(before: dict[str, torch.Tensor], name: str) -> torch.Tensor:
    owner, _, leaf = name.rpartition(".")
    return before[name] if name in before else before[f"{owner}.base_layer.{leaf}"]


@pytest.mark.parametrize(("kind", "head", "task"), [CASES[0], CASES[2]])
def test_a_merged_weight_is_the_old_one_and_the_scaled_product(kind: str, head: str, task: str, tmp_path: Path) -> None:
    """W + alpha / r * B A (Hu et al. 2021, section 4.1); GPT-2 keeps W transposed."""
    model, tokenizer, _ = adapted(tmp_path, kind, head, task, alpha=6)
    descend(model, *batch_of(task, tokenizer, segments=kind == "bert"))
    layer = next(module for module in model.modules() if hasattr(module, "lora_A") and hasattr(module, "base_layer"))
    name = next(name for name, module in model.get_base_model().named_modules() if module is layer)
    product = 6 / 2 * layer.lora_B["default"].weight @ layer.lora_A["default"].weight
    expected = layer.base_layer.weight + (product.T if kind == "gpt2" else product)
    assert product.norm() > 0
    torch.testing.assert_close(finished(model).get_submodule(name).weight, expected)


@pytest.mark.parametrize(("kind", "head", "task"), CASES)
def test_every_trained_parameter_moves_under_book_keeping(kind: str, head: str, task: str, tmp_path: Path) -> None:
    """In two steps: A has no gradient while B is zero."""
    model, tokenizer, _ = adapted(tmp_path, kind, head, task)
    model.eval()
    objective, batch = batch_of(task, tokenizer, segments=kind in {"bert", "electra"})
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    engine = BookKeepingEngine(model, max_grad_norm=1.0)
    assert engine.trained.keys() == trained_names(model)
    for _ in range(2):
        with engine.recording(6):
            losses = objective.losses(model, batch)
        engine.backward(losses)
        for name, summed in engine.summed_grads().items():
            engine.trained[name].data -= 0.1 * summed
            vars(engine.trained[name]).pop("summed_grad")
    moved = {name for name, value in model.named_parameters() if not torch.equal(value, before[name])}
    assert moved == trained_names(model)


def test_targets_are_pefts_or_the_users(tmp_path: Path) -> None:
    for number, (kind, targets, expected) in enumerate(
        (
            ("bert", (), {"query", "value"}),
            ("bert", ("key", "intermediate.dense"), {"key", "dense"}),
            ("bert", ("encoder.layer.1.attention.self.query",), {"query"}),
        )
    ):
        model, _, _ = adapted(tmp_path / str(number), kind, "masked_lm", "masked_lm", targets=targets)
        layers = {name.split(".lora_")[0] for name in trained_names(model)}
        assert {layer.rpartition(".")[2] for layer in layers} == expected
    assert layers == {"base_model.model.bert.encoder.layer.1.attention.self.query"}


def test_a_new_pooler_is_trained_whole_and_an_old_one_is_not(tmp_path: Path) -> None:
    new, _, _ = adapted(tmp_path / "new", "bert", "masked_lm", "classification", targets=("dense",))
    old, _, _ = adapted(tmp_path / "old", "bert", "base", "classification", targets=("dense",))
    pooler = "base_model.model.bert.pooler.dense"
    assert {f"{pooler}.weight", f"{pooler}.bias"} < trained_names(new)
    assert {name for name in trained_names(old) if name.startswith(pooler)} == {
        f"{pooler}.lora_A.default.weight",
        f"{pooler}.lora_B.default.weight",
    }
    for model in (new, old):
        assert {name for name in trained_names(model) if "classifier" in name} == {
            "base_model.model.classifier.weight",
            "base_model.model.classifier.bias",
        }


def test_an_encoder_saved_without_its_pooler_gets_a_trained_one(tmp_path: Path) -> None:
    base = make_checkpoint(tmp_path / "base", "bert", "base")
    weights = load_file(base / "model.safetensors")
    kept = {name: value for name, value in weights.items() if not name.startswith("pooler.")}
    save_file(kept, base / "model.safetensors", {"format": "pt"})
    spec = make_spec(tmp_path, base, lora={})
    assert spec.base is not None
    model, _ = load_trainable(spec, inspect_checkpoint(spec.base), load_training_data(spec), 32)
    assert "base_model.model.bert.pooler.dense.weight" in trained_names(model)


def test_a_classifier_with_these_classes_keeps_its_head_as_it_is(tmp_path: Path) -> None:
    model, _, _ = adapted(tmp_path, "bert", "classifier", "classification")
    assert all("lora_" in name for name in trained_names(model))


@pytest.mark.parametrize(("kind", "head", "task"), [CASES[0], CASES[2], CASES[4]])
def test_the_saved_checkpoint_is_an_ordinary_one(kind: str, head: str, task: str, tmp_path: Path) -> None:
    base = make_base(tmp_path / "base", kind, head)
    result = train(make_spec(tmp_path, base, task=task, lora={"rank": 4}, epochs=6, learning_rate=1e-2))
    assert result.manifest.losses[-1] < result.manifest.losses[0]
    output = tmp_path / "trained"
    assert not list(output.glob("adapter*"))
    names = load_file(output / "model.safetensors").keys()
    assert not [name for name in names if "lora" in name or "base_layer" in name]
    info = inspect_checkpoint(CheckpointSource(source=str(output)))
    assert Need.TRAINING_MANIFEST in info.offers
    assert info.architecture == json.loads((output / "config.json").read_text())["architectures"][0]
    load_checkpoint(info, device="cpu")


@pytest.mark.parametrize(
    ("kind", "head", "targets", "sentence"),
    [
        ("distilbert", "masked_lm", (), "which layers of a distilbert model.*out of q_lin, k_lin, v_lin, out_lin"),
        (
            "bert",
            "masked_lm",
            ("query", "qurey"),
            "no linear layer of the bert model is called 'qurey'; choose from que",
        ),
        ("bert", "masked_lm", ("word_embeddings",), "no linear layer of the bert model is called 'word_embeddings'"),
        ("bert", "masked_lm", ("decoder",), "no linear layer of the bert model is called 'decoder'"),
    ],
)
def test_targets_that_cannot_be_adapted(
    kind: str, head: str, targets: tuple[str, ...], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=sentence) as raised:
        adapted(tmp_path, kind, head, "masked_lm", targets=targets)
    assert "\n" not in str(raised.value)


def test_without_peft_the_sentence_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("privacy.training.models.lora.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"needs the peft package; pip install 'assay\[peft\]'"):
        adapted(tmp_path, "bert", "masked_lm", "masked_lm")
