"""What makes a checkpoint usable changes none of its answers: those of transformers on the folder as shipped."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from harness.api.scorer import GradientRequest, Loss, TextRequest
from harness.checkpoint import (
    CheckpointSource,
    LoadedCheckpoint,
    Permissions,
    adapter,
    inspect_checkpoint,
    load_checkpoint,
    same,
)
from harness.errors import CheckpointError
from harness.scorer.hf import HFScorer
from tests.tiny import make_checkpoint

WORDS = ["film", "movie", "book", "story", "plot", "actor", "music", "review", "love", "hate"]
TEXTS = [f"the {word}{' was very good' * (number % 4)}" for number, word in enumerate(WORDS)]
END = {"gpt2": "<|endoftext|>", "gpt-neo": "<|endoftext|>", "gpt-neox": "<|endoftext|>", "llama": "</s>"}
ATOL = 1e-4
Floats = npt.NDArray[np.float64]


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def load(folder: Path, base: Path | None = None, **allowed: bool) -> LoadedCheckpoint:
    source = CheckpointSource(source=str(folder), base=None if base is None else str(base))
    return load_checkpoint(inspect_checkpoint(source, Permissions(**allowed)), device="cpu")


def ending_in_eos(folder: Path, kind: str, *, pad: str | None = None) -> Path:
    """A classifier whose tokenizer ends every text with EOS, and whose config names no padding token."""
    make_checkpoint(folder, kind, "classifier")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    from tokenizers.processors import TemplateProcessing

    ends = [(END[kind], tokenizer.eos_token_id)]
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"$A {END[kind]}", pair=f"$A {END[kind]} $B {END[kind]}", special_tokens=ends
    )
    if pad is not None:
        tokenizer.pad_token = pad
    tokenizer.save_pretrained(folder)
    assert json.loads((folder / "config.json").read_text()).get("pad_token_id") is None
    return folder


def as_shipped(folder: Path, texts: Sequence[str]) -> Floats:
    """Class logits [texts, labels] by transformers itself: each text alone, unpadded, the config untouched."""
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        rows = [torch.tensor([tokenizer(text)["input_ids"]]) for text in texts]
        return torch.cat([model(input_ids=row).logits for row in rows]).double().numpy()


def classified(loaded: LoadedCheckpoint, texts: Sequence[str], budget: int | None = None) -> Floats:
    answers = HFScorer(loaded, token_budget=budget).ask([TextRequest(text) for text in texts])
    assert [answer.error for answer in answers] == [None] * len(texts)
    return np.stack([answer.logits for answer in answers])


@pytest.mark.parametrize("kind", sorted(END))
@pytest.mark.parametrize("named", [False, True])
def test_a_classifier_without_padding_reads_eos_as_shipped(tmp_path: Path, kind: str, named: bool) -> None:
    """Told that EOS is padding, it would read its label one token earlier (transformers#35352, #45127)."""
    folder = ending_in_eos(tmp_path, kind, pad=END[kind] if named else None)
    expected = as_shipped(folder, TEXTS)
    loaded = load(folder)
    assert loaded.model.config.pad_token_id is None
    for budget in (1, 40, 10_000):
        np.testing.assert_allclose(classified(loaded, TEXTS, budget), expected, atol=ATOL, rtol=0)
    loaded.model.config.pad_token_id = loaded.tokenizer.eos_token_id  # what was done before
    assert np.abs(classified(replace(loaded, padding_moves=False), TEXTS) - expected).max() > 100 * ATOL


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_a_text_that_spells_the_end_is_read_to_its_end(tmp_path: Path, kind: str) -> None:
    """The tokenizer adds nothing here; the text itself ends in what would pass for padding."""
    folder = make_checkpoint(tmp_path, kind, "classifier")
    texts = ["the film was bad" + END[kind], "a plot", "good" + 2 * END[kind]]
    np.testing.assert_allclose(classified(load(folder), texts), as_shipped(folder, texts), atol=ATOL, rtol=0)


@pytest.mark.parametrize("shipped", ["eos", -1])
def test_a_padding_token_that_was_shipped_is_kept(tmp_path: Path, shipped: Any) -> None:
    """transformers itself then skips EOS at the end, or (-1, as the first Llama has it) reads to the last token."""
    folder = ending_in_eos(tmp_path, "llama")
    number = transformers.AutoTokenizer.from_pretrained(folder).eos_token_id if shipped == "eos" else shipped
    edit(folder / "config.json", pad_token_id=number)
    loaded = load(folder)
    assert loaded.model.config.pad_token_id == number
    for budget in (1, 10_000):
        np.testing.assert_allclose(classified(loaded, TEXTS, budget), as_shipped(folder, TEXTS), atol=ATOL, rtol=0)


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_gradients_are_those_of_the_model_as_shipped(tmp_path: Path, kind: str) -> None:
    loaded = load(ending_in_eos(tmp_path, kind))
    requests = [GradientRequest(TextRequest(text), 1, Loss.OF_CLASS) for text in TEXTS[:4]]
    together = HFScorer(loaded).ask(requests)
    model = loaded.model
    for text, answer in zip(TEXTS, together, strict=False):
        ids = torch.tensor([loaded.tokenizer(text)["input_ids"]])
        vectors = model.get_input_embeddings()(ids).detach().requires_grad_()
        logits = model(inputs_embeds=vectors).logits  # by vectors transformers reads the last position
        (expected,) = torch.autograd.grad(torch.nn.functional.cross_entropy(logits, torch.tensor([1])), vectors)
        assert answer.error is None
        assert answer.input.tokens == tuple(ids[0].tolist())
        np.testing.assert_allclose(answer.gradient, expected[0], atol=ATOL, rtol=0)


def test_the_scorer_leaves_the_model_as_it_is(tmp_path: Path) -> None:
    loaded = load(ending_in_eos(tmp_path, "gpt2"))
    before = {name: id(module) for name, module in loaded.model.named_modules()}
    first, second = classified(loaded, TEXTS), classified(loaded, TEXTS)  # two scorers on one model
    assert np.array_equal(first, second)
    assert {name: id(module) for name, module in loaded.model.named_modules()} == before
    assert loaded.model.config.pad_token_id is None
    with pytest.raises(IndexError):  # an id beyond the vocabulary still means nothing to it
        loaded.model(input_ids=torch.tensor([[loaded.model.config.vocab_size]]))


def test_where_padding_changes_nothing_it_is_named(tmp_path: Path) -> None:
    """transformers#7638: a language model is given EOS for padding, as batches need some token."""
    loaded = load(make_checkpoint(tmp_path, "gpt2", "causal_lm"))
    assert loaded.model.config.pad_token_id == loaded.tokenizer.eos_token_id


@pytest.mark.parametrize("head", ["classifier", "causal_lm"])
@pytest.mark.parametrize("setting", [{"return_dict": False}, {"torchscript": True}, {"output_hidden_states": True}])
def test_settings_of_the_answer_do_not_reach_the_model(tmp_path: Path, head: str, setting: dict[str, Any]) -> None:
    """transformers#8886: tuples instead of named answers; the numbers stay, and so does the batch."""
    plain = load(make_checkpoint(tmp_path / "plain", "gpt2", head))
    edit(make_checkpoint(tmp_path / "set", "gpt2", head) / "config.json", **setting)
    changed = load(tmp_path / "set")
    assert changed.model.config.return_dict is True
    ids = torch.tensor([[20, 30, 40]])
    with torch.no_grad():
        assert torch.equal(changed.model(ids).logits, plain.model(ids).logits)
    if head == "classifier":
        assert np.array_equal(classified(changed, TEXTS), classified(plain, TEXTS))


def tie(folder: Path, kind: str) -> Path:
    """A causal LM whose head is its embedding."""
    make_checkpoint(folder, kind, "causal_lm")
    config = transformers.AutoConfig.from_pretrained(folder)
    config.tie_word_embeddings = True
    torch.manual_seed(0)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


def adapted(root: Path, kind: str, **settings: Any) -> tuple[Path, Any]:
    """The folder of an adapter with random weights, and the live model: base and adapter beside each other."""
    peft = pytest.importorskip("peft")
    base = tie(root / "base", kind)
    model = transformers.AutoModelForCausalLM.from_pretrained(base)
    torch.manual_seed(1)
    lora = peft.LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=8, init_lora_weights=False, **settings)
    live = peft.get_peft_model(model, lora).eval()
    for name, weight in live.named_parameters():
        if "modules_to_save" in name or "trainable_tokens" in name:
            weight.data += torch.randn(weight.shape)
    live.save_pretrained(root / "adapter")
    return root / "adapter", live


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("gpt2", {"target_modules": ["wte"]}),
        ("gpt2", {"target_modules": ["wte", "c_attn"]}),
        ("llama", {"target_modules": ["embed_tokens"]}),
        ("llama", {"target_modules": ["lm_head"]}),
        ("llama", {"target_modules": ["lm_head", "embed_tokens", "q_proj"]}),
        ("llama", {"target_modules": ["q_proj"]}),
        ("llama", {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens"]}),
        ("llama", {"target_modules": ["q_proj"], "trainable_token_indices": [20, 21]}),
    ],
)
def test_merging_into_tied_weights_changes_no_answer(tmp_path: Path, kind: str, settings: dict[str, Any]) -> None:
    """Merged into the shared tensor, an adapter of the embedding changes the head too (peft#2018, peft#2777)."""
    folder, live = adapted(tmp_path, kind, **settings)
    loaded = load(folder, tmp_path / "base")
    ids = torch.arange(40).reshape(2, 20)
    with torch.no_grad():
        expected = live(input_ids=ids).logits
        assert torch.allclose(loaded.model(input_ids=ids).logits, expected, atol=ATOL)
    embedding, head = loaded.model.get_input_embeddings().weight, loaded.model.get_output_embeddings().weight
    shared = settings == {"target_modules": ["q_proj"]}
    assert (embedding is head) is shared
    assert loaded.model.config.tie_word_embeddings is shared
    loaded.model.save_pretrained(tmp_path / "merged")
    loaded.tokenizer.save_pretrained(tmp_path / "merged")
    with torch.no_grad():
        assert torch.allclose(load(tmp_path / "merged").model(input_ids=ids).logits, expected, atol=ATOL)


def test_a_merge_that_changes_answers_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the reason: here the untying is left out, which is how it was."""
    monkeypatch.setenv("ASSAY_ISOLATION", "none")  # else the confined process, forked earlier, loads it first
    monkeypatch.setattr(adapter, "_untie_adapted", lambda wrapped: False)
    folder, _ = adapted(tmp_path, "gpt2", target_modules=["wte"])
    with pytest.raises(CheckpointError, match=r"adapter: merging the adapter changes what the model says \(a logit by"):
        load(folder, tmp_path / "base")


@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
def test_rounding_is_no_other_function(tmp_path: Path, dtype: str) -> None:
    folder, _ = adapted(tmp_path, "llama", target_modules=["embed_tokens", "q_proj", "down_proj"])
    info = inspect_checkpoint(CheckpointSource(source=str(folder), base=str(tmp_path / "base")))
    assert load_checkpoint(info, device="cpu", dtype=dtype).dtype == dtype


def two_tensors(folder: Path, kind: str, head: str, first: str, second: str, *, by: float) -> Path:
    """A checkpoint that stores both tensors its config ties, `by` apart."""
    make_checkpoint(folder, kind, head)
    weights = load_file(folder / "model.safetensors")
    weights[second] = weights[first] + by
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


TIED = [
    ("gpt2", "causal_lm", "transformer.wte.weight", "lm_head.weight"),
    ("bert", "masked_lm", "bert.embeddings.word_embeddings.weight", "cls.predictions.decoder.weight"),
    ("bert", "masked_lm", "cls.predictions.bias", "cls.predictions.decoder.bias"),
    ("distilbert", "masked_lm", "distilbert.embeddings.word_embeddings.weight", "vocab_projector.weight"),
    ("gemma", "causal_lm", "model.embed_tokens.weight", "lm_head.weight"),
]


@pytest.mark.parametrize(("kind", "head", "first", "second"), TIED)
def test_two_tensors_for_one_are_refused_by_name(tmp_path: Path, kind: str, head: str, first: str, second: str) -> None:
    """transformers 4 drops the second, version 5 keeps it: 6 to 18 nats apart (transformers#41038)."""
    with pytest.raises(CheckpointError, match=f"ties '{first}' and '{second}' into one tensor.*tie_word_embeddings"):
        inspect_checkpoint(CheckpointSource(source=str(two_tensors(tmp_path, kind, head, first, second, by=0.5))))


@pytest.mark.parametrize(("kind", "head", "first", "second"), TIED)
def test_the_same_tensor_twice_is_none_too_many(tmp_path: Path, kind: str, head: str, first: str, second: str) -> None:
    plain = load(make_checkpoint(tmp_path / "plain", kind, head))
    twice = load(two_tensors(tmp_path / "twice", kind, head, first, second, by=0.0))
    ids = torch.tensor([[20, 30, 40]])
    with torch.no_grad():
        assert torch.equal(twice.model(input_ids=ids).logits, plain.model(input_ids=ids).logits)


def test_untied_by_its_config_two_tensors_are_two(tmp_path: Path) -> None:
    folder = two_tensors(tmp_path, "gpt2", "causal_lm", "transformer.wte.weight", "lm_head.weight", by=0.5)
    edit(folder / "config.json", tie_word_embeddings=False)
    model = load(folder).model
    assert torch.allclose(model.lm_head.weight, model.transformer.wte.weight + 0.5)


def test_a_classifier_does_not_ask_after_a_head_it_has_not(tmp_path: Path) -> None:
    """The second tensor belongs to a language head that is not loaded."""
    folder = make_checkpoint(tmp_path, "gpt2", "classifier")
    weights = load_file(folder / "model.safetensors")
    weights["lm_head.weight"] = weights["transformer.wte.weight"] + 1
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert load(folder).info.labels == ("negative", "positive")


@pytest.mark.parametrize("old_format", [False, True])
def test_pickled_weights_are_compared_too(tmp_path: Path, old_format: bool) -> None:
    folder = two_tensors(tmp_path, "gpt2", "causal_lm", "transformer.wte.weight", "lm_head.weight", by=0.5)
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin", _use_new_zipfile_serialization=not old_format)
    with pytest.raises(CheckpointError, match=r"ties 'transformer\.wte\.weight' and 'lm_head\.weight' into one tensor"):
        load(folder, pickle=True)


def test_the_check_sees_what_is_different() -> None:
    one = [torch.tensor([1.0, -50.0, float("inf")])]
    close, far = [one[0] + torch.tensor([0.0, 2e-3, 0.0])], [one[0] + torch.tensor([0.0, 2e-2, 0.0])]
    finite = [torch.tensor([1.0, -50.0, 3.0])]
    assert same.difference(one, close, torch.float32) is None
    assert same.difference(one, far, torch.float32) == pytest.approx(2e-2, rel=1e-3)
    assert same.difference(one, far, torch.bfloat16) is None
    assert same.difference(one, finite, torch.float32) == float("inf")
    assert same.difference(one, [one[0][:2]], torch.float32) == float("inf")


def test_the_check_costs_a_few_short_forward_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And none where nothing was prepared."""
    seen: list[int] = []
    plain: Callable[..., Any] = same.answers

    def counted(model: Any, rows: Sequence[Sequence[int]]) -> Any:
        seen.extend(len(row) for row in rows)
        return plain(model, rows)

    monkeypatch.setattr(same, "answers", counted)
    load(make_checkpoint(tmp_path / "bert", "bert", "classifier"))
    assert seen == []
    load(make_checkpoint(tmp_path / "gpt2", "gpt2", "classifier"))
    assert len(seen) <= 8
    assert max(seen) <= 16
