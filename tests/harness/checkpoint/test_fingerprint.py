"""The fingerprint follows what a checkpoint computes with, and nothing else."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from harness.checkpoint import CheckpointSource, Fingerprint, inspect_checkpoint
from tests.tiny import make_checkpoint


def of(folder: Path) -> Fingerprint:
    return inspect_checkpoint(CheckpointSource(source=str(folder))).fingerprint


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    return make_checkpoint(tmp_path / "bert", "bert", "classifier")


def test_weights_digest_by_hand(bert: Path) -> None:
    """Computed again from tensors that the safetensors library has read."""
    expected = hashlib.sha256()
    for name, tensor in sorted(load_file(bert / "model.safetensors").items()):
        expected.update(json.dumps([name, "F32", list(tensor.shape)]).encode() + b"\n")
        expected.update(tensor.numpy().tobytes())
    found = of(bert)
    assert found.weights == expected.hexdigest()
    parts = "\n".join((found.weights, found.config, found.tokenizer))
    assert found.digest == hashlib.sha256(parts.encode()).hexdigest()


def test_same_whatever_the_sharding(bert: Path, tmp_path: Path) -> None:
    import transformers

    whole = of(bert)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(bert)
    (bert / "model.safetensors").unlink()
    model.save_pretrained(bert, max_shard_size="40KB")
    assert len(list(bert.glob("model-*.safetensors"))) > 2
    assert of(bert).weights == whole.weights


def test_one_bit_of_one_weight_changes_the_weights_alone(bert: Path) -> None:
    before = of(bert)
    file = bert / "model.safetensors"
    raw = bytearray(file.read_bytes())
    raw[-1] ^= 1
    file.write_bytes(raw)
    after = of(bert)
    assert after.weights != before.weights
    assert after.digest != before.digest
    assert (after.config, after.tokenizer) == (before.config, before.tokenizer)


@pytest.mark.parametrize("change", ["name", "shape"])
def test_names_and_shapes_count(bert: Path, change: str) -> None:
    from harness.checkpoint.fingerprint import digest_tensors
    from harness.checkpoint.tensors import read_header

    one, other = bert / "one.safetensors", bert / "other.safetensors"
    save_file({"a": torch.ones(2, 3)}, one)
    save_file({"b": torch.ones(2, 3)} if change == "name" else {"a": torch.ones(3, 2)}, other)
    assert digest_tensors(read_header(one)) != digest_tensors(read_header(other))


@pytest.mark.parametrize(
    ("file", "changes", "part"),
    [
        ("config.json", {"_name_or_path": "elsewhere", "transformers_version": "9", "dtype": "bfloat16"}, None),
        ("config.json", {"layer_norm_eps": 1e-3}, "config"),
        ("tokenizer_config.json", {"name_or_path": "elsewhere", "is_local": True}, None),
        ("tokenizer_config.json", {"model_max_length": 64}, "tokenizer"),
        ("tokenizer.json", {"truncation": {"max_length": 5}, "padding": None}, None),
        ("tokenizer.json", {"normalizer": None}, "tokenizer"),
    ],
)
def test_which_edits_count(bert: Path, file: str, changes: dict[str, Any], part: str | None) -> None:
    before = of(bert)
    edit(bert / file, **changes)
    after = of(bert)
    changed = {name for name in ("weights", "config", "tokenizer") if getattr(after, name) != getattr(before, name)}
    assert changed == ({part} if part else set())
    assert (after.digest == before.digest) == (part is None)


def test_layout_of_json_does_not_count(bert: Path) -> None:
    before = of(bert)
    for name in ("config.json", "tokenizer.json"):
        content = json.loads((bert / name).read_text())
        (bert / name).write_text(json.dumps(dict(reversed(content.items())), indent=7))
    assert of(bert) == before


def test_vocabulary_files_count(bert: Path) -> None:
    before = of(bert)
    (bert / "vocab.txt").write_text("[PAD]\n[UNK]\n")
    assert of(bert).tokenizer != before.tokenizer


def test_readme_does_not_count(bert: Path) -> None:
    before = of(bert)
    (bert / "README.md").write_text("a model card")
    assert of(bert) == before
