"""GGUF: the header is read within bounds, and the expanded weights are the ones that were written."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.api.needs import Need
from harness.checkpoint import CheckpointSource, inspect_checkpoint, load_checkpoint
from harness.errors import CheckpointError
from tests.tiny import MAX_TOKENS, make_checkpoint
from tests.tiny_gguf import write_gguf

gguf = pytest.importorskip("gguf")


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Any:
    import transformers

    folder = make_checkpoint(tmp_path_factory.mktemp("llama"), "llama", "causal_lm")
    model = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    return model, transformers.AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize("as_folder", [True, False])
def test_expanded_weights_give_the_numbers_of_the_original(tmp_path: Path, llama: Any, as_folder: bool) -> None:
    model, tokenizer = llama
    file = write_gguf(tmp_path / "tiny.gguf", model, tokenizer)
    info = inspect_checkpoint(CheckpointSource(source=str(tmp_path if as_folder else file)))
    assert info.offers == {Need.CAUSAL_LM, Need.EMBEDDINGS}
    assert (info.architecture, info.model_type, info.max_tokens) == ("LlamaForCausalLM", "llama", MAX_TOKENS)
    assert info.parameters == sum(parameter.numel() for parameter in model.parameters())
    loaded = load_checkpoint(info, device="cpu")
    assert not hasattr(loaded.model.config, "quantization_config")
    assert loaded.tokenizer.convert_ids_to_tokens(loaded.tokenizer(" the", add_special_tokens=False)["input_ids"]) == [
        "Ġthe"
    ]
    tokens = torch.arange(40).reshape(2, 20)
    with torch.no_grad():
        assert torch.allclose(loaded.model(tokens).logits, model(tokens).logits, atol=1e-5)


@pytest.mark.parametrize("add_bos", [True, False])
def test_special_tokens_are_those_of_the_file(tmp_path: Path, llama: Any, add_bos: bool) -> None:
    file = write_gguf(tmp_path / "tiny.gguf", *llama, add_bos_token=add_bos)
    tokenizer = load_checkpoint(inspect_checkpoint(CheckpointSource(source=str(file))), device="cpu").tokenizer
    assert (tokenizer.bos_token, tokenizer.eos_token) == ("<s>", "</s>")
    tokens = tokenizer.convert_ids_to_tokens(tokenizer(" the")["input_ids"])
    assert tokens == (["<s>", "Ġthe"] if add_bos else ["Ġthe"])


def corrupt(path: Path, change: bytes, at: int) -> None:
    raw = bytearray(path.read_bytes())
    raw[at : at + len(change)] = change
    path.write_bytes(raw)


@pytest.mark.parametrize(
    ("at", "change", "sentence"),
    [
        (0, b"GGML", "does not start with GGUF"),
        (4, struct.pack("<I", 9), "version is neither 2 nor 3"),
        (8, struct.pack("<Q", 2**60), "header cannot be read"),
        (16, struct.pack("<Q", 2**60), "header cannot be read"),
        (24, struct.pack("<Q", 2**63), "header cannot be read"),
    ],
)
def test_lying_header(tmp_path: Path, llama: Any, at: int, change: bytes, sentence: str) -> None:
    file = write_gguf(tmp_path / "tiny.gguf", *llama)
    corrupt(file, change, at)
    with pytest.raises(CheckpointError, match=rf"tiny\.gguf: not a sound GGUF file, .*{sentence}"):
        inspect_checkpoint(CheckpointSource(source=str(file)))


@pytest.mark.parametrize("keep", [0, 20, 3000, -1000])
def test_truncated_file(tmp_path: Path, llama: Any, keep: int) -> None:
    file = write_gguf(tmp_path / "tiny.gguf", *llama)
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match=r"tiny\.gguf: not a sound GGUF file"):
        inspect_checkpoint(CheckpointSource(source=str(file)))


def test_more_blocks_than_tensors(tmp_path: Path, llama: Any) -> None:
    file = write_gguf(tmp_path / "tiny.gguf", *llama, block_count=10**9)
    with pytest.raises(CheckpointError, match=r"claims 1,000,000,000 blocks but holds 21 tensors"):
        inspect_checkpoint(CheckpointSource(source=str(file)))


def test_two_files_in_a_folder_are_ambiguous(tmp_path: Path) -> None:
    for name in ("a.gguf", "b.gguf"):
        (tmp_path / name).write_bytes(b"GGUF")
    with pytest.raises(CheckpointError, match=r"holds 2 GGUF files \(a\.gguf, b\.gguf\); name the one"):
        inspect_checkpoint(CheckpointSource(source=str(tmp_path)))


def test_message_names_the_extra(tmp_path: Path, llama: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_gguf(tmp_path / "tiny.gguf", *llama)
    monkeypatch.setitem(__import__("sys").modules, "gguf.constants", None)
    with pytest.raises(CheckpointError, match=r"pip install 'assay\[gguf\]'"):
        inspect_checkpoint(CheckpointSource(source=str(file)))
