"""PEFT adapters: merged into their base, under the same checks as any checkpoint."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.api.needs import Need
from harness.checkpoint import CheckpointSource, LoadedCheckpoint, Permissions, inspect_checkpoint, load_checkpoint
from harness.errors import CheckpointError
from tests.tiny import make_checkpoint

peft = pytest.importorskip("peft")

TASKS = {"classifier": "SEQ_CLS", "causal_lm": "CAUSAL_LM", "token_classifier": "TOKEN_CLS"}
TEXT = "The movie was great, I loved the plot."


def make_adapter(root: Path, kind: str, head: str, *, labels: int = 3, where: str = "../base") -> tuple[Path, Any]:
    """A base without the adapter's head next to an adapter with random weights; and the live model they stand for."""
    import transformers

    base = make_checkpoint(root / "base", kind, "causal_lm" if head == "causal_lm" else "base")
    auto = {
        "classifier": transformers.AutoModelForSequenceClassification,
        "causal_lm": transformers.AutoModelForCausalLM,
        "token_classifier": transformers.AutoModelForTokenClassification,
    }[head]
    model = auto.from_pretrained(base, **({} if head == "causal_lm" else {"num_labels": labels}))
    if model.config.pad_token_id is None:
        model.config.pad_token_id = 0
    settings = peft.LoraConfig(task_type=TASKS[head], r=4, lora_alpha=8, init_lora_weights=False)
    tuned = peft.get_peft_model(model, settings).eval()
    tuned.save_pretrained(root / "adapter")
    edit(root / "adapter" / "adapter_config.json", base_model_name_or_path=where)
    return root / "adapter", tuned


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def source_of(folder: Path) -> CheckpointSource:
    """The adapter with its base as a user names it: the folder beside it."""
    return CheckpointSource(source=str(folder), base=str(folder.parent / "base"))


def load(folder: Path, **allowed: bool) -> LoadedCheckpoint:
    return load_checkpoint(inspect_checkpoint(source_of(folder), Permissions(**allowed)), device="cpu")


@pytest.mark.parametrize(
    ("kind", "head", "need"),
    [
        ("bert", "classifier", Need.SEQUENCE_CLASSIFIER),
        ("roberta", "classifier", Need.SEQUENCE_CLASSIFIER),
        ("bert", "token_classifier", Need.TOKEN_CLASSIFIER),
        ("gpt2", "causal_lm", Need.CAUSAL_LM),
        ("llama", "causal_lm", Need.CAUSAL_LM),
        ("llama", "classifier", Need.SEQUENCE_CLASSIFIER),
    ],
)
def test_merged_adapter_gives_the_numbers_of_the_live_one(tmp_path: Path, kind: str, head: str, need: Need) -> None:
    folder, tuned = make_adapter(tmp_path, kind, head)
    loaded = load(folder)
    assert loaded.info.offers == {need, Need.EMBEDDINGS}
    assert loaded.info.labels == (() if head == "causal_lm" else ("LABEL_0", "LABEL_1", "LABEL_2"))
    batch = loaded.tokenizer(TEXT, return_tensors="pt")
    with torch.no_grad():
        assert torch.allclose(loaded.model(**batch).logits, tuned(**batch).logits, atol=1e-4)
    assert not any("lora" in name for name in loaded.model.state_dict())


def test_fingerprint_covers_adapter_and_base(tmp_path: Path) -> None:
    folder, _ = make_adapter(tmp_path, "gpt2", "causal_lm")
    source = source_of(folder)
    before = inspect_checkpoint(source).fingerprint
    for file in (tmp_path / "base" / "model.safetensors", folder / "adapter_model.safetensors"):
        raw = bytearray(file.read_bytes())
        raw[-1] ^= 1
        file.write_bytes(raw)
        after = inspect_checkpoint(source).fingerprint
        assert after.weights != before.weights
        assert (after.config, after.tokenizer) == (before.config, before.tokenizer)
        before = after


def test_fingerprint_does_not_depend_on_how_the_base_is_named(tmp_path: Path) -> None:
    folder, _ = make_adapter(tmp_path, "gpt2", "causal_lm")
    source = source_of(folder)
    before = inspect_checkpoint(source).fingerprint
    edit(folder / "adapter_config.json", base_model_name_or_path=str(tmp_path / "base"))
    assert inspect_checkpoint(source).fingerprint == before


def test_base_is_checked_too(tmp_path: Path) -> None:
    folder, _ = make_adapter(tmp_path, "bert", "classifier")
    weights = tmp_path / "base" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4])
    with pytest.raises(CheckpointError, match=r"base/model\.safetensors: not a sound"):
        load(folder)
    weights.rename(tmp_path / "base" / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"base: refused, its weights are pickled"):
        load(folder)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"r": 10**12}, "r is 1,000,000,000,000, more than the adapter's weights can hold"),
        ({"layer_replication": [[0, 10**9]]}, "layer_replication builds another model"),
        ({"peft_type": "PROMPT_TUNING"}, "cannot be merged"),
        ({"task_type": "SEQ_2_SEQ_LM"}, "task_type 'SEQ_2_SEQ_LM' are not read"),
        ({"r": 2}, "cannot be loaded|do not belong together"),
    ],
)
def test_adapter_that_does_not_fit(tmp_path: Path, changes: dict[str, Any], sentence: str) -> None:
    folder, _ = make_adapter(tmp_path, "gpt2", "causal_lm")
    edit(folder / "adapter_config.json", **changes)
    with pytest.raises(CheckpointError, match=sentence):
        load(folder)


def test_adapter_of_another_base(tmp_path: Path) -> None:
    folder, _ = make_adapter(tmp_path, "gpt2", "causal_lm")
    shutil.rmtree(tmp_path / "base")
    make_checkpoint(tmp_path / "base", "llama", "causal_lm")
    with pytest.raises(CheckpointError, match=r"cannot be loaded|do not belong together"):
        load(folder)


def test_head_that_neither_holds_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder, _ = make_adapter(tmp_path, "bert", "classifier", labels=2)
    file = folder / "adapter_model.safetensors"
    save_file({name: tensor for name, tensor in load_file(file).items() if "lora" in name}, file)
    with pytest.raises(CheckpointError, match=r"lacks 2 weights .*classifier\.bias.*would be random"):
        load(folder)


def test_adapter_beside_a_full_model_is_ambiguous(tmp_path: Path) -> None:
    folder, _ = make_adapter(tmp_path, "gpt2", "causal_lm")
    (folder / "model.safetensors").write_bytes((tmp_path / "base" / "model.safetensors").read_bytes())
    with pytest.raises(CheckpointError, match="holds both a full model and adapter_config"):
        load(folder)


def test_pickled_adapter_is_refused(tmp_path: Path) -> None:
    folder, _ = make_adapter(tmp_path, "gpt2", "causal_lm")
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    with pytest.raises(CheckpointError, match="pickled adapters are refused"):
        load(folder, pickle=True)


def test_adapter_on_an_adapter_is_refused(tmp_path: Path) -> None:
    folder, _ = make_adapter(tmp_path, "gpt2", "causal_lm")
    edit(folder / "adapter_config.json", base_model_name_or_path=".")
    with pytest.raises(CheckpointError, match="is itself an adapter"):
        inspect_checkpoint(CheckpointSource(source=str(folder)))


@pytest.mark.parametrize(
    "named", ["../base", "./gone", "/etc", "someone/some-model", "pypi:a==1!b", "x" * 300, "a\0b", 3]
)
def test_an_adapter_cannot_name_a_base_elsewhere(tmp_path: Path, named: Any) -> None:
    folder, _ = make_adapter(tmp_path, "gpt2", "causal_lm")
    edit(folder / "adapter_config.json", base_model_name_or_path=named)
    with pytest.raises(CheckpointError, match=r"--base"):
        inspect_checkpoint(CheckpointSource(source=str(folder)))


def test_base_inside_the_adapters_folder_needs_no_word(tmp_path: Path) -> None:
    folder, _ = make_adapter(tmp_path, "gpt2", "causal_lm")
    beside = load(folder).info.fingerprint
    shutil.move(tmp_path / "base", folder / "base")
    edit(folder / "adapter_config.json", base_model_name_or_path="base")
    assert inspect_checkpoint(CheckpointSource(source=str(folder))).fingerprint == beside


def test_message_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, _ = make_adapter(tmp_path, "gpt2", "causal_lm")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(CheckpointError, match=r"pip install 'assay\[peft\]'"):
        inspect_checkpoint(source_of(folder))
