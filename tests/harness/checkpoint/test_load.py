"""Every kind loads with its head, gives numbers, and gives the same ones after saving and reloading."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.api.needs import Need
from harness.checkpoint import (
    CheckpointSource,
    LoadedCheckpoint,
    Permissions,
    hardware,
    inspect_checkpoint,
    load_checkpoint,
)
from harness.errors import CheckpointError, UsageError
from tests.tiny import KINDS, LABELS, MAX_TOKENS, TAGS, heads_of, make_checkpoint

TEXTS = ["The movie was great, I loved the plot.", "no"]
CASES = [(kind, head) for kind in KINDS for head in heads_of(kind)[:2]]
CASES += [(kind, head) for kind in ("bert", "gpt2") for head in ("token_classifier", "base")]
OFFERS = {
    "masked_lm": {Need.MASKED_LM, Need.EMBEDDINGS},
    "causal_lm": {Need.CAUSAL_LM, Need.EMBEDDINGS},
    "classifier": {Need.SEQUENCE_CLASSIFIER, Need.EMBEDDINGS},
    "token_classifier": {Need.TOKEN_CLASSIFIER, Need.EMBEDDINGS},
    "base": {Need.EMBEDDINGS},
}


def load(folder: Path, **settings: str) -> LoadedCheckpoint:
    return load_checkpoint(inspect_checkpoint(CheckpointSource(source=str(folder))), **{"device": "cpu", **settings})


def outputs(loaded: LoadedCheckpoint) -> torch.Tensor:
    batch = loaded.tokenizer(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        first: torch.Tensor = loaded.model(**batch)[0]
    return first


@pytest.mark.parametrize(("kind", "head"), CASES)
def test_same_numbers_after_save_and_reload(tmp_path: Path, kind: str, head: str) -> None:
    loaded = load(make_checkpoint(tmp_path / "a", kind, head))
    info = loaded.info
    assert info.offers == ({Need.EMBEDDINGS} if (kind, head) == ("xlnet", "causal_lm") else OFFERS[head])
    assert info.labels == {"classifier": LABELS, "token_classifier": TAGS}.get(head, ())
    assert info.max_tokens == MAX_TOKENS
    assert not loaded.model.training
    first = outputs(loaded)
    assert torch.isfinite(first).all()
    loaded.model.save_pretrained(tmp_path / "b")
    loaded.tokenizer.save_pretrained(tmp_path / "b")
    again = load(tmp_path / "b")
    assert torch.equal(outputs(again), first)
    if kind != "xlnet":  # its language head is not loaded, so not saved either
        assert again.info.fingerprint.weights == info.fingerprint.weights


@pytest.mark.parametrize("kind", KINDS)
def test_parameters_come_from_the_header_and_are_true(tmp_path: Path, kind: str) -> None:
    loaded = load(make_checkpoint(tmp_path, kind, "classifier"))
    assert loaded.info.parameters == sum(parameter.numel() for parameter in loaded.model.parameters())


@pytest.mark.parametrize(
    ("dtype", "expected"), [("auto", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)]
)
def test_dtype(tmp_path: Path, dtype: str, expected: torch.dtype) -> None:
    loaded = load(make_checkpoint(tmp_path, "gpt2", "causal_lm"), dtype=dtype)
    assert {parameter.dtype for parameter in loaded.model.parameters()} == {expected}
    assert loaded.dtype == {"auto": "fp32"}.get(dtype, dtype)


def test_auto_dtype_is_the_checkpoints_own_on_a_gpu(tmp_path: Path) -> None:
    from harness.checkpoint.files import lay_out
    from harness.checkpoint.tensors import read_tensors

    loaded = load(make_checkpoint(tmp_path / "a", "bert", "classifier"), dtype="bf16")
    loaded.model.save_pretrained(tmp_path / "b")
    tensors = read_tensors(lay_out(tmp_path / "b", Permissions()))
    assert hardware.pick_dtype("auto", "cuda", tensors) == "bf16"
    assert hardware.pick_dtype("auto", "cpu", tensors) == "fp32"


def test_absent_device_is_refused() -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    with pytest.raises(UsageError, match=r"'cuda' is not there, torch sees .*cpu"):
        hardware.pick_device("cuda")


def test_too_large_for_memory_is_refused_before_loading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_checkpoint(tmp_path, "bert", "classifier")
    info = inspect_checkpoint(CheckpointSource(source=str(folder)))
    monkeypatch.setattr(hardware, "available_bytes", lambda device: 100_000)
    with pytest.raises(CheckpointError, match=r"needs 0\.0 GiB on cpu.*--dtype bf16"):
        load_checkpoint(info, device="cpu")
    assert load_checkpoint(info, device="cpu", dtype="bf16").dtype == "bf16"


def test_container_limit_counts_file_caches_as_free(tmp_path: Path) -> None:
    for name, text in {
        "memory.max": "1000",
        "memory.current": "700",
        "memory.stat": "anon 5\ninactive_file 200",
    }.items():
        (tmp_path / name).write_text(text)
    assert hardware._container_bytes(tmp_path) == 500
    (tmp_path / "memory.max").write_text("max")
    assert hardware._container_bytes(tmp_path) is None


@pytest.mark.parametrize("kind", ["gpt2", "llama", "opt"])
def test_decoder_classifier_reads_the_last_real_token(tmp_path: Path, kind: str) -> None:
    """A padded batch must give each text the logits it has alone; without a padding token it would not."""
    loaded = load(make_checkpoint(tmp_path, kind, "classifier"))
    assert loaded.model.config.pad_token_id == loaded.tokenizer.pad_token_id
    together = outputs(loaded)
    with torch.no_grad():
        alone = torch.cat([loaded.model(**loaded.tokenizer(text, return_tensors="pt"))[0] for text in TEXTS])
    assert torch.allclose(together, alone, atol=1e-4)


def test_missing_head_is_refused_by_name(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path, "bert", "base")
    edit(folder / "config.json", architectures=["BertForSequenceClassification"])
    with pytest.raises(CheckpointError, match=r"lacks 2 weights .*classifier\.bias, classifier\.weight.*random"):
        load(folder)


def test_missing_layer_is_refused_and_surplus_layer_noted(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path, "bert", "masked_lm")
    edit(folder / "config.json", num_hidden_layers=1)
    assert "have no place in the model" in load(folder).info.notes[0]
    edit(folder / "config.json", num_hidden_layers=3)
    with pytest.raises(CheckpointError, match=r"lacks 16 weights .*encoder\.layer\.2"):
        load(folder)


def test_base_model_may_lack_the_pooler_nobody_reads(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path, "bert", "masked_lm")
    edit(folder / "config.json", architectures=["BertModel"])
    assert load(folder).info.offers == {Need.EMBEDDINGS}


def test_use_cache_is_left_as_it_is(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path, "gpt2", "causal_lm")
    edit(folder / "config.json", use_cache=False)
    assert load(folder).model.config.use_cache is False


def test_tokenizer_saved_by_transformers_5_loads_on_4(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path, "roberta", "classifier")
    expected = load(folder)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings.update(tokenizer_class="TokenizersBackend", backend="tokenizers", is_local=True)
    del settings["model_input_names"]  # version 5 leaves its default out
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "special_tokens_map.json").unlink(missing_ok=True)
    loaded = load(folder)
    assert loaded.tokenizer(TEXTS, padding=True) == expected.tokenizer(TEXTS, padding=True)
    assert loaded.tokenizer.mask_token == "[MASK]"
    assert loaded.tokenizer.model_max_length == MAX_TOKENS


def test_rotary_base_saved_by_transformers_5_is_not_lost(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path, "llama", "causal_lm")
    plain = outputs(load(folder))
    raw = json.loads((folder / "config.json").read_text())
    raw.pop("rope_theta", None)
    raw.pop("rope_parameters", None)
    (folder / "config.json").write_text(json.dumps({**raw, "rope_theta": 50.0}))
    old = outputs(load(folder))
    rope: dict[str, Any] = {"rope_theta": 50.0, "rope_type": "default"}
    (folder / "config.json").write_text(json.dumps({**raw, "rope_parameters": rope}))
    assert torch.equal(outputs(load(folder)), old)
    assert not torch.allclose(old, plain, atol=1e-3)


def test_foreign_tokenizer_is_refused(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "a", "bert", "classifier")
    other = make_checkpoint(tmp_path / "b", "gpt2", "classifier")
    for file in other.glob("*token*"):
        (folder / file.name).write_bytes(file.read_bytes())
    with pytest.raises(CheckpointError, match=r"tokens beyond the model's 287 embeddings"):
        load(folder)


def test_loading_is_silent(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = make_checkpoint(tmp_path, "albert", "base")
    capfd.readouterr()
    load(folder)
    assert capfd.readouterr() == ("", "")


def test_what_was_fingerprinted_is_loaded_whatever_becomes_of_the_folder(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "one", "bert", "base")
    info = inspect_checkpoint(CheckpointSource(source=str(folder)))
    inspected = load_checkpoint(info, device="cpu").model.state_dict()
    make_checkpoint(folder, "bert", "base", seed=1)
    again = load_checkpoint(info, device="cpu").model.state_dict()
    assert all(torch.equal(again[name], tensor) for name, tensor in inspected.items())


def test_bytes_that_were_not_kept_must_be_the_same_again(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "one", "bert", "base")
    info = replace(inspect_checkpoint(CheckpointSource(source=str(folder))), staged=None)
    load_checkpoint(info, device="cpu")
    make_checkpoint(folder, "bert", "base", seed=1)
    with pytest.raises(CheckpointError, match="has changed since it was inspected"):
        load_checkpoint(info, device="cpu")


@pytest.mark.data
def test_a_real_language_model(real_data: Path) -> None:
    """Stories260K writes English: the most likely word after this opening is as its training text has it."""
    loaded = load(real_data / "model_stories260k")
    assert loaded.info.offers == {Need.CAUSAL_LM, Need.EMBEDDINGS}
    batch = loaded.tokenizer("Once upon a time, there was a little girl named", return_tensors="pt")
    with torch.no_grad():
        written = loaded.model.generate(**batch, max_new_tokens=6, do_sample=False)
    assert "Lily" in loaded.tokenizer.decode(written[0])


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
