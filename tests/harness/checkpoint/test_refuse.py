"""Whatever is wrong with a checkpoint is said in one sentence that names the file and the way out."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.checkpoint import CheckpointInfo, CheckpointSource, Permissions, inspect_checkpoint, load_checkpoint
from harness.errors import CheckpointError
from tests.tiny import make_checkpoint


def inspect(folder: Path, **allowed: bool) -> CheckpointInfo:
    return inspect_checkpoint(CheckpointSource(source=str(folder)), Permissions(**allowed))


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def with_header(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Rewrite the header of a safetensors file, its data as they are."""
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + raw[8 + length :])


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    return make_checkpoint(tmp_path / "bert", "bert", "classifier")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("config.json", r"config\.json: missing"),
        ("model.safetensors", r"bert: holds no weights \(model\.safetensors"),
    ],
)
def test_missing_file(bert: Path, name: str, sentence: str) -> None:
    (bert / name).unlink()
    with pytest.raises(CheckpointError, match=sentence):
        inspect(bert)


def test_missing_tokenizer(bert: Path) -> None:
    (bert / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match=r"holds no tokenizer .*save_pretrained"):
        inspect(bert)


@pytest.mark.parametrize("content", [b"{", b"[1]", b"\xff\xfe", b"[" * 100_000])
def test_config_that_is_not_json(bert: Path, content: bytes) -> None:
    (bert / "config.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"config\.json: .*JSON.*download it again"):
        inspect(bert)


@pytest.mark.parametrize("keep", [0, 7, 100, -1])
def test_truncated_safetensors(bert: Path, keep: int) -> None:
    file = bert / "model.safetensors"
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match=r"model\.safetensors: not a sound safetensors file"):
        inspect(bert)


def test_surplus_bytes(bert: Path) -> None:
    with (bert / "model.safetensors").open("ab") as handle:
        handle.write(b"hidden")
    with pytest.raises(CheckpointError, match=r"it has [\d,]+ bytes where its header asks for"):
        inspect(bert)


def first(header: dict[str, Any]) -> dict[str, Any]:
    entry: dict[str, Any] = next(value for name, value in header.items() if name != "__metadata__")
    return entry


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda header: first(header).update(dtype="F7"), "unknown dtype 'F7'"),
        (lambda header: first(header).update(shape=[10**12]), "does not fit its"),
        (lambda header: first(header).update(shape=[-1]), "not natural numbers"),
        (lambda header: first(header).update(shape=[True]), "not natural numbers"),
        (lambda header: first(header).pop("dtype"), "has no dtype, shape and offsets"),
        (lambda header: header.update(twin=dict(first(header))), "overlaps"),
        (lambda header: header.pop(next(name for name in header if name != "__metadata__")), "gap"),
        (lambda header: header.clear(), "holds no tensors"),
    ],
)
def test_lying_header(bert: Path, change: Callable[[dict[str, Any]], None], sentence: str) -> None:
    with_header(bert / "model.safetensors", change)
    with pytest.raises(CheckpointError, match=sentence):
        inspect(bert)


def test_header_longer_than_the_file_is_not_read(bert: Path) -> None:
    file = bert / "model.safetensors"
    file.write_bytes(struct.pack("<Q", 2**62) + file.read_bytes()[8:])
    with pytest.raises(CheckpointError, match="header is cut short"):
        inspect(bert)


def test_name_given_twice(bert: Path) -> None:
    file = bert / "model.safetensors"
    text = (
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    )
    file.write_bytes(struct.pack("<Q", len(text)) + text + bytes(4))
    with pytest.raises(CheckpointError, match="header is not JSON"):
        inspect(bert)


@pytest.mark.parametrize(
    ("kind", "changes", "sentence"),
    [
        ("bert", {"vocab_size": 10**12}, r"asks for a tensor of shape \[1000000000000, 32\] \(Embedding\)"),
        ("bert", {"hidden_size": 10**12}, r"asks for a tensor of shape|describes no model that can be built"),
        ("bert", {"num_hidden_layers": 10**9}, r"num_hidden_layers is 1,000,000,000, more than"),
        ("bert", {"num_hidden_layers": 9_000}, r"asks for more than [\d,]+ modules"),
        ("bert", {"num_labels": 10**12, "id2label": None}, r"num_labels is 1,000,000,000,000"),
        ("llama", {"num_hidden_layers": 1e9}, r"num_hidden_layers is 1,000,000,000, more than"),
        ("albert", {"num_hidden_groups": 10**9}, r"num_hidden_groups is 1,000,000,000"),
        ("gpt-neo", {"attention_types": [[["global", "local"], 10**9]]}, r"attention_types is 1,000,000,000"),
        ("bert", {"intermediate_size": 65}, r"has shape \[64.*\] in model\.safetensors, but the config asks for \[65"),
        ("bert", {"vocab_size": 288}, r"do not belong together"),
        ("bert", {"hidden_size": "many"}, r"hidden_size is 'many' where a whole number is meant"),
        ("bert", {"num_attention_heads": 5}, r"describes no model that can be built .*multiple"),
        ("bert", {"id2label": {"0": "a", "7": "b"}}, r"does not number its labels"),
        ("bert", {"model_type": "no-such-type"}, r"model type 'no-such-type' is unknown to transformers \d"),
        ("bert", {"model_type": None}, r"names no model_type"),
        ("bert", {"architectures": "BertModel"}, r"not a list of class names"),
        ("bert", {"quantization_config": {"quant_method": "gptq"}}, r"quantised"),
        (
            "bert",
            {"architectures": ["T5ForConditionalGeneration"], "model_type": "t5", "classifier_dropout": 0.0},
            r"encoder-decoder",
        ),
        ("bert", {"architectures": ["BartModel"], "model_type": "bart"}, r"encoder-decoder"),
    ],
)
def test_config_that_does_not_fit(tmp_path: Path, kind: str, changes: dict[str, Any], sentence: str) -> None:
    folder = make_checkpoint(tmp_path, kind, "classifier")
    edit(folder / "config.json", **changes)
    with pytest.raises(CheckpointError, match=sentence):
        inspect(folder)


def test_pickled_weights_need_permission(bert: Path) -> None:
    from safetensors.torch import load_file

    loaded = load_checkpoint(inspect(bert), device="cpu")
    torch.save(load_file(bert / "model.safetensors"), bert / "pytorch_model.bin")
    assert load_checkpoint(inspect(bert, pickle=True), device="cpu").info.fingerprint == loaded.info.fingerprint
    (bert / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"refused, its weights are pickled .*--allow-pickle"):
        inspect(bert)
    again = load_checkpoint(inspect(bert, pickle=True), device="cpu")
    assert again.info.parameters == loaded.info.parameters
    pairs = zip(again.model.state_dict().values(), loaded.model.state_dict().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


def test_pickle_is_not_opened_where_safetensors_lie(bert: Path) -> None:
    (bert / "pytorch_model.bin").write_bytes(b"not a pickle")
    assert load_checkpoint(inspect(bert), device="cpu").model.config.model_type == "bert"


CODE = """
from pathlib import Path
Path({ran!r}).write_text("ran")
from transformers import BertConfig, BertForSequenceClassification
class OwnConfig(BertConfig):
    model_type = "own-bert"
class OwnModel(BertForSequenceClassification):
    config_class = OwnConfig
"""
AUTO_MAP = {"AutoConfig": "own.OwnConfig", "AutoModelForSequenceClassification": "own.OwnModel"}


def test_shipped_code_is_ignored_where_transformers_knows_the_model(bert: Path, tmp_path: Path) -> None:
    (bert / "own.py").write_text(CODE.format(ran=str(tmp_path / "ran")))
    edit(bert / "config.json", auto_map=AUTO_MAP)
    loaded = load_checkpoint(inspect(bert, remote_code=True), device="cpu")
    assert type(loaded.model).__name__ == "BertForSequenceClassification"
    assert "which transformers knows itself: ignored" in loaded.info.notes[0]
    assert not (tmp_path / "ran").exists()


def test_shipped_code_needs_permission(bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    (bert / "own.py").write_text(CODE.format(ran=str(tmp_path / "ran")))
    edit(bert / "config.json", auto_map=AUTO_MAP, model_type="own-bert", architectures=["OwnForSequenceClassification"])
    with pytest.raises(CheckpointError, match=r"refused, model type 'own-bert' .*--allow-remote-code"):
        inspect(bert)
    info = inspect(bert, remote_code=True)
    assert not (tmp_path / "ran").exists(), "inspecting runs no code"
    assert load_checkpoint(info, device="cpu").info.labels == ("negative", "positive")
    assert (tmp_path / "ran").exists()


def test_config_cannot_send_transformers_elsewhere(bert: Path) -> None:
    """Version 4 reads other weight files, and kernels off the hub, where the config names them."""
    edit(bert / "config.json", transformers_weights="other.safetensors", _attn_implementation="someone/kernel")
    loaded = load_checkpoint(inspect(bert), device="cpu")
    assert "/" not in str(loaded.model.config._attn_implementation)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("nowhere/at/all", "no such folder"), ("./gone", "no such folder"), ("gone.gguf", "no such folder or file")],
)
def test_path_that_is_not_there(name: str, sentence: str) -> None:
    with pytest.raises(CheckpointError, match=sentence):
        inspect_checkpoint(CheckpointSource(source=name))


def test_file_instead_of_folder(bert: Path) -> None:
    with pytest.raises(CheckpointError, match="give the folder this file lies in"):
        inspect(bert / "model.safetensors")


def test_local_path_has_no_revision(bert: Path) -> None:
    with pytest.raises(CheckpointError, match="a local path has no revision"):
        inspect_checkpoint(CheckpointSource(source=str(bert), revision="main"))


def shard(folder: Path) -> Path:
    import transformers

    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="40KB")
    return folder / "model.safetensors.index.json"


def test_missing_shard(bert: Path) -> None:
    shard(bert)
    lost = sorted(bert.glob("model-*.safetensors"))[1]
    lost.unlink()
    with pytest.raises(
        CheckpointError, match=rf"{lost.name}: missing, though model\.safetensors\.index\.json names it"
    ):
        inspect(bert)


def test_shard_that_lacks_a_tensor(bert: Path) -> None:
    index = json.loads(shard(bert).read_text())
    index["weight_map"]["surplus"] = sorted(set(index["weight_map"].values()))[0]
    (bert / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match="lacks tensor 'surplus' that the shard index promises"):
        inspect(bert)


def test_shard_outside_the_folder(bert: Path) -> None:
    shard(bert)
    edit(bert / "model.safetensors.index.json", weight_map={"a": "../../secret.safetensors"})
    with pytest.raises(CheckpointError, match="lies outside the folder; refused"):
        inspect(bert)


def test_tensor_in_two_shards(bert: Path) -> None:
    index = shard(bert)
    files = sorted(bert.glob("model-*.safetensors"))
    (bert / "model-again.safetensors").write_bytes(files[0].read_bytes())
    weight_map = json.loads(index.read_text())["weight_map"]
    edit(index, weight_map={**weight_map, "again": "model-again.safetensors"})
    with pytest.raises(CheckpointError, match="two shards hold a tensor of the same name"):
        inspect(bert)


def test_a_base_is_for_adapters_alone(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path, "bert", "base")
    with pytest.raises(CheckpointError, match="a full model, not an adapter, so it has no base; leave out --base"):
        inspect_checkpoint(CheckpointSource(source=str(folder), base=str(folder)))
