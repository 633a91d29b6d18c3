"""What a checkpoint offers: its head by the class its config names, and a manifest that belongs to its weights."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.api.needs import Need
from harness.checkpoint import CheckpointInfo, CheckpointSource, inspect_checkpoint, load_checkpoint
from harness.checkpoint.heads import Head, head_of, refuse_text_to_text
from harness.data.datasets import DataSource
from harness.errors import CheckpointError
from harness.provenance.manifest import MANIFEST_NAME, TrainingManifest
from suites.quality.classification import Classification
from tests.tiny import LABELS, MAX_TOKENS, make_checkpoint


def inspect(folder: Path) -> CheckpointInfo:
    return inspect_checkpoint(CheckpointSource(source=str(folder)))


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def config(**values: Any) -> SimpleNamespace:
    return SimpleNamespace(**{"num_labels": 2, "model_type": "some", **values})


@pytest.mark.parametrize(
    ("architecture", "settings", "head"),
    [
        ("BertForMaskedLM", {"type_vocab_size": 2}, Head.MASKED_LM),
        ("BertForPreTraining", {"type_vocab_size": 2}, Head.MASKED_LM),
        ("ElectraForPreTraining", {"type_vocab_size": 2}, Head.NONE),
        ("GPT2LMHeadModel", {}, Head.CAUSAL_LM),
        ("GPT2DoubleHeadsModel", {}, Head.CAUSAL_LM),
        ("LlamaForCausalLM", {}, Head.CAUSAL_LM),
        ("BertLMHeadModel", {"type_vocab_size": 2, "is_decoder": True}, Head.CAUSAL_LM),
        ("BertLMHeadModel", {"type_vocab_size": 2, "is_decoder": False}, Head.NONE),
        ("RobertaForCausalLM", {"type_vocab_size": 1}, Head.NONE),
        ("XLNetLMHeadModel", {}, Head.NONE),
        ("XLMWithLMHeadModel", {}, Head.MASKED_LM),
        ("XLMWithLMHeadModel", {"causal": True}, Head.CAUSAL_LM),
        ("ReformerModelWithLMHead", {}, Head.CAUSAL_LM),
        ("DebertaV2ForTokenClassification", {}, Head.TOKEN_CLASSIFIER),
        ("GemmaForSequenceClassification", {}, Head.SEQUENCE_CLASSIFIER),
        ("BertForQuestionAnswering", {}, Head.QUESTION_ANSWERING),
        ("XLNetForQuestionAnswering", {}, Head.NONE),
        ("BertForNextSentencePrediction", {}, Head.NEXT_SENTENCE),
        ("BertForMultipleChoice", {}, Head.MULTIPLE_CHOICE),
        ("MPNetModel", {}, Head.NONE),
        ("", {}, Head.NONE),
    ],
)
def test_head_by_class(architecture: str, settings: dict[str, Any], head: Head) -> None:
    choice = head_of(architecture, config(**settings))
    assert choice.head is head
    assert (choice.note is None) == (head is not Head.NONE), "a head that is not offered is explained"


@pytest.mark.parametrize(
    ("architecture", "settings"),
    [
        ("T5ForConditionalGeneration", {}),
        ("BartForSequenceClassification", {"is_encoder_decoder": True}),
        ("LlavaForConditionalGeneration", {}),
    ],
)
def test_encoder_decoders_and_multimodal_models_are_refused(architecture: str, settings: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError, match=rf"here: {architecture} is an encoder-decoder or multimodal model"):
        refuse_text_to_text(architecture, settings, "here")


@pytest.mark.parametrize(
    ("settings", "head", "why"),
    [
        ({"num_labels": 1}, Head.REGRESSION, "has one label, so it is a regression head"),
        ({"problem_type": "regression", "num_labels": 3}, Head.REGRESSION, "the problem type regression"),
        ({"problem_type": "multi_label_classification"}, Head.MULTI_LABEL, "multi-label"),
        ({"problem_type": "multi_label_classification", "num_labels": 1}, Head.MULTI_LABEL, "multi-label"),
    ],
)
def test_classifiers_without_one_label_per_text_are_heads_of_their_own(
    settings: dict[str, Any], head: Head, why: str
) -> None:
    choice = head_of("BertForSequenceClassification", config(**settings))
    assert choice.head is head
    assert why in (choice.note or "")


def test_a_regression_head_is_no_classifier_and_says_why(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path, "bert", "classifier")
    edit(folder / "config.json", problem_type="regression")
    info = inspect(folder)
    assert info.offers == {Need.EMBEDDINGS, Need.REGRESSION}
    assert info.labels == ()
    assert "regression head" in info.notes[0]


def test_a_multi_label_head_is_refused_by_probes_of_classes(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path, "bert", "classifier")
    edit(folder / "config.json", problem_type="multi_label_classification")
    info = inspect(folder)
    assert info.offers == {Need.EMBEDDINGS, Need.MULTI_LABEL}
    assert info.labels == LABELS
    why = Classification.why_not(info.offers)
    assert why == "needs a sequence classifier; the checkpoint offers embeddings, multi-label classifier"


def test_pre_training_checkpoint_is_a_masked_lm(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path, "bert", "masked_lm")
    edit(folder / "config.json", architectures=["BertForPreTraining"])
    info = inspect(folder)
    assert info.offers == {Need.MASKED_LM, Need.EMBEDDINGS}
    assert type(load_checkpoint(info, device="cpu").model).__name__ == "BertForMaskedLM"


def test_xlnet_note_says_why(tmp_path: Path) -> None:
    notes = inspect(make_checkpoint(tmp_path, "xlnet", "causal_lm")).notes
    assert "permutation language model" in notes[-1]


def test_base_note_says_how_to_get_a_head(tmp_path: Path) -> None:
    (note,) = inspect(make_checkpoint(tmp_path, "mpnet", "base")).notes
    assert "MPNetModel is a base model without a head" in note
    assert "assay train" in note


@pytest.mark.parametrize(
    ("kind", "tokenizer_limit", "expected"),
    [
        ("bert", 1e30, MAX_TOKENS),
        ("bert", 10**30, MAX_TOKENS),
        ("bert", 50, 50),
        ("bert", 10_000, MAX_TOKENS),
        ("roberta", None, MAX_TOKENS),
        ("mpnet", None, MAX_TOKENS),
        ("opt", None, MAX_TOKENS),
        ("gpt2", None, MAX_TOKENS),
        ("xlnet", None, 512),
        ("xlnet", 100, 100),
    ],
)
def test_max_tokens(tmp_path: Path, kind: str, tokenizer_limit: float | None, expected: int) -> None:
    folder = make_checkpoint(tmp_path, kind, "base")
    edit(folder / "tokenizer_config.json", model_max_length=tokenizer_limit)
    info = inspect(folder)
    assert info.max_tokens == expected
    assert any("limits the text length" in note for note in info.notes) == (expected == 512)


@pytest.mark.parametrize("kind", ["bert", "roberta", "mpnet", "opt", "gpt2", "xlnet"])
def test_the_model_really_reads_max_tokens(tmp_path: Path, kind: str) -> None:
    import torch

    folder = make_checkpoint(tmp_path, kind, "base")
    edit(folder / "tokenizer_config.json", model_max_length=None)
    loaded = load_checkpoint(inspect(folder), device="cpu")
    longest = torch.full((1, loaded.info.max_tokens), 9)
    with torch.no_grad():
        assert torch.isfinite(loaded.model(longest, attention_mask=torch.ones_like(longest))[0]).all()
        if kind != "xlnet":
            with pytest.raises((IndexError, RuntimeError)):
                loaded.model(torch.full((1, loaded.info.max_tokens + 1), 9))


def manifest(weights: str) -> str:
    members = DataSource(source="members.csv")
    return TrainingManifest(
        task="classification",
        base="base",
        base_fingerprint="0" * 64,
        weights=weights,
        members=members,
        members_digest="0" * 64,
        members_n=10,
        seed=0,
        config={},
        steps=1,
        versions={},
    ).model_dump_json()


def test_manifest_is_offered_where_it_belongs_to_the_weights(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path, "bert", "classifier")
    plain = inspect(folder)
    assert (plain.manifest, plain.notes) == (None, ())
    (folder / MANIFEST_NAME).write_text(manifest(plain.fingerprint.weights))
    with_manifest = inspect(folder)
    assert with_manifest.offers == plain.offers | {Need.TRAINING_MANIFEST}
    assert with_manifest.manifest is not None
    assert with_manifest.fingerprint == plain.fingerprint


def test_foreign_manifest_is_not_offered(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path, "bert", "classifier")
    (folder / MANIFEST_NAME).write_text(manifest("f" * 64))
    info = inspect(folder)
    assert info.manifest is None
    assert Need.TRAINING_MANIFEST not in info.offers
    assert "does not belong to these weights" in info.notes[0]


def test_broken_manifest_is_refused(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path, "bert", "classifier")
    (folder / MANIFEST_NAME).write_text("{}")
    with pytest.raises(CheckpointError, match="not a training manifest"):
        inspect(folder)


def test_import_is_light() -> None:
    code = (
        "import sys, harness.checkpoint; sys.exit(bool({'torch', 'transformers', 'peft', 'gguf'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
