"""A bare encoder goes on training as a masked LM: under a new head, and it is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from harness.api.needs import Need
from harness.checkpoint import CheckpointSource, LoadedCheckpoint, inspect_checkpoint, load_checkpoint
from harness.errors import CheckpointError
from privacy.training import train
from tests.privacy.toys import make_base, make_spec
from tests.tiny import ENCODERS

STILL = {"epochs": 1, "learning_rate": 1e-9, "weight_decay": 0}


def loaded(folder: Path) -> LoadedCheckpoint:
    return load_checkpoint(inspect_checkpoint(CheckpointSource(source=str(folder))), device="cpu")


@pytest.mark.parametrize("kind", [kind for kind in ENCODERS if kind != "xlnet"])
def test_the_trunk_is_the_encoders_and_the_head_is_new(tmp_path: Path, kind: str) -> None:
    start = make_base(tmp_path / "base", kind, "base")
    result = train(make_spec(tmp_path, start, task="masked_lm", **STILL))
    trained = loaded(tmp_path / "trained")
    assert Need.MASKED_LM in trained.info.offers
    old, new = load_file(start / "model.safetensors"), trained.model.base_model.state_dict()
    kept = [name for name in old if not name.startswith("pooler.")]
    assert kept
    for name in kept:
        assert torch.allclose(old[name], new[name], atol=1e-6), name
    embeddings = trained.model.get_input_embeddings().weight
    assert trained.model.get_output_embeddings().weight.data_ptr() == embeddings.data_ptr()
    assert "has no masked-LM head, so a new one was drawn at random (seed 0)" in result.sentence


def test_it_learns_and_the_same_seed_gives_the_same_head(tmp_path: Path) -> None:
    start = make_base(tmp_path / "base", "bert", "base")
    results = [
        train(make_spec(tmp_path, start, task="masked_lm", epochs=6, learning_rate=5e-3, output=tmp_path / name))
        for name in ("one", "two")
    ]
    assert results[0].manifest.losses[-1] < 0.8 * results[0].manifest.losses[0]
    assert results[0].manifest.weights == results[1].manifest.weights


def test_a_head_in_the_files_is_kept_though_the_config_names_the_encoder(tmp_path: Path) -> None:
    start = make_base(tmp_path / "base", "bert", "masked_lm")
    config = json.loads((start / "config.json").read_text())
    (start / "config.json").write_text(json.dumps({**config, "architectures": ["BertModel"]}))
    train(make_spec(tmp_path, start, task="masked_lm", **STILL))
    old, new = load_file(start / "model.safetensors"), load_file(tmp_path / "trained" / "model.safetensors")
    heads = [name for name in old if name.startswith("cls.predictions.transform.")]
    assert heads
    for name in heads:
        assert torch.allclose(old[name], new[name], atol=1e-6), name


def test_with_adapters_the_new_head_is_trained_whole(tmp_path: Path) -> None:
    pytest.importorskip("peft")
    start = make_base(tmp_path / "base", "bert", "base")
    fields = {"task": "masked_lm", "lora": {"rank": 2}}
    for name, rate in (("still", 1e-9), ("moved", 1e-2)):
        train(make_spec(tmp_path, start, **fields, epochs=1, learning_rate=rate, output=tmp_path / name))
    still, moved = (load_file(tmp_path / name / "model.safetensors") for name in ("still", "moved"))
    changed = {name for name in still if not torch.allclose(still[name], moved[name], atol=1e-6)}
    assert {"cls.predictions.transform.dense.weight", "cls.predictions.bias"} <= changed
    assert "bert.embeddings.word_embeddings.weight" not in changed


def test_a_bare_encoder_learns_sentence_order_too(tmp_path: Path) -> None:
    start = make_base(tmp_path / "base", "bert", "base")
    spec = make_spec(tmp_path, start, task="masked_lm", next_sentence=True, epochs=1)
    rows = [{"text": f"a good film {word}", "pair": f"the {word} book"} for word in ("day", "night", "home", "city")]
    Path(spec.data.source).write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert train(spec).manifest.objective == "masked_lm+next_sentence"


def test_a_masked_lm_has_nothing_to_tell(tmp_path: Path) -> None:
    start = make_base(tmp_path / "base", "bert", "masked_lm")
    assert "note" not in train(make_spec(tmp_path, start, task="masked_lm", epochs=1)).sentence


@pytest.mark.parametrize(
    ("kind", "head", "sentence"),
    [
        (
            "bert",
            "classifier",
            "offers embeddings, sequence classifier, but task masked_lm goes on training a masked LM",
        ),
        ("gpt2", "causal_lm", "but task masked_lm goes on training a masked LM"),
        ("gpt2", "base", "gpt2 models have no masked-LM head"),
        ("xlnet", "base", "xlnet models have no masked-LM head"),
    ],
)
def test_what_cannot_become_a_masked_lm_is_refused(tmp_path: Path, kind: str, head: str, sentence: str) -> None:
    start = make_base(tmp_path / "base", kind, head)
    with pytest.raises(CheckpointError, match=sentence) as raised:
        train(make_spec(tmp_path, start, task="masked_lm"))
    assert "\n" not in str(raised.value)
