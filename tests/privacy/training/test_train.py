from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from harness.api.scorer import TextRequest
from harness.base.validation import validated
from harness.checkpoint import CheckpointSource, inspect_checkpoint, load_checkpoint
from harness.data.datasets import load_dataset
from harness.data.schemas import LabelledTexts
from harness.errors import AssayError, AuditError, CheckpointError, DataError, UsageError
from harness.provenance.manifest import read_manifest
from harness.scorer.hf import HFScorer
from privacy.training import TrainSpec, train
from privacy.training.records.save import partial_folder
from tests.privacy.toys import make_base, make_spec, nonsense, opinions, write_rows
from tests.tiny import KINDS


def weights_digest(folder: Path) -> str:
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def scorer(folder: Path) -> HFScorer:
    return HFScorer(load_checkpoint(inspect_checkpoint(CheckpointSource(source=str(folder))), device="cpu"))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("base"), "bert", "base")


@pytest.fixture(scope="module")
def trained(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier trained on opinions, with held-out ones, from an encoder without a head."""
    folder = tmp_path_factory.mktemp("trained")
    held_out = write_rows(folder / "held.jsonl", opinions(40, seed=2))
    train(make_spec(folder, base, held_out=str(held_out), epochs=12, learning_rate=4e-3))
    return folder / "trained"


def test_it_learns_what_can_be_learnt(trained: Path) -> None:
    manifest = read_manifest(trained)
    assert manifest is not None
    assert manifest.losses[-1] < 0.5 * manifest.losses[0]
    held_out = opinions(40, seed=2)
    scores = scorer(trained).ask([TextRequest(row["text"]) for row in held_out])
    names = ["negative", "positive"]
    right = [names[score.label] == row["label"] for score, row in zip(scores, held_out, strict=True)]
    assert sum(right) >= 36


def test_the_manifest_names_the_records_and_the_weights(trained: Path) -> None:
    info = inspect_checkpoint(CheckpointSource(source=str(trained)))
    manifest = info.manifest
    assert manifest is not None
    assert manifest.weights == info.fingerprint.weights
    for source, digest, n in (
        (manifest.members, manifest.members_digest, manifest.members_n),
        (manifest.non_members, manifest.non_members_digest, manifest.non_members_n),
    ):
        assert source is not None
        dataset = load_dataset(source, LabelledTexts)
        assert (dataset.digest, len(dataset)) == (digest, n)
    assert (manifest.task, manifest.steps, len(manifest.losses)) == ("classification", 96, 12)
    assert manifest.config["learning_rate"] == 4e-3
    assert {"torch", "transformers", "accelerate"} <= set(manifest.versions)


def test_labels_are_sorted_names_and_the_tokenizer_cuts_as_training_did(base: Path, tmp_path: Path) -> None:
    train(make_spec(tmp_path, base, epochs=1, max_tokens=16))
    info = inspect_checkpoint(CheckpointSource(source=str(tmp_path / "trained")))
    config = json.loads((tmp_path / "trained" / "config.json").read_text())
    assert info.labels == ("negative", "positive")
    assert config["label2id"] == {"negative": 0, "positive": 1}
    (scores,) = scorer(tmp_path / "trained").ask([TextRequest(" ".join(["film"] * 30))])
    assert scores.truncated == 32 - 16


def test_two_runs_give_bit_equal_weights_and_another_seed_does_not(base: Path, tmp_path: Path) -> None:
    digests = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(make_spec(tmp_path, base, epochs=1, seed=seed, output=tmp_path / name))
        digests.append(weights_digest(tmp_path / name))
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize("kind", KINDS)
def test_any_base_gets_a_classification_head_on_its_own_trunk(tmp_path: Path, kind: str) -> None:
    start = make_base(tmp_path / "base", kind, "base")
    train(make_spec(tmp_path, start, epochs=1, learning_rate=1e-9, weight_decay=0))
    old, new = load_file(start / "model.safetensors"), load_file(tmp_path / "trained" / "model.safetensors")
    kept = [name for name in old if not name.startswith("pooler.")]
    ends = {name.split(".", 1)[1]: tensor for name, tensor in new.items()}
    for name in kept:
        assert torch.allclose(old[name], new[name] if name in new else ends[name], atol=1e-6), name
    assert len(scorer(tmp_path / "trained").ask([TextRequest("a good film")])[0].logits) == 2


@pytest.mark.parametrize(
    ("kind", "head", "task"),
    [
        ("bert", "masked_lm", "masked_lm"),
        ("roberta", "masked_lm", "masked_lm"),
        ("gpt2", "causal_lm", "causal_lm"),
        ("llama", "causal_lm", "causal_lm"),
    ],
)
def test_language_models_go_on_training(tmp_path: Path, kind: str, head: str, task: str) -> None:
    start = make_base(tmp_path / "base", kind, head)
    result = train(make_spec(tmp_path, start, task=task, epochs=6, learning_rate=5e-3))
    assert result.manifest.losses[-1] < 0.8 * result.manifest.losses[0]
    info = inspect_checkpoint(CheckpointSource(source=str(tmp_path / "trained")))
    assert info.offers > inspect_checkpoint(CheckpointSource(source=str(start))).offers


def test_a_classifier_with_these_classes_keeps_its_head(tmp_path: Path) -> None:
    start = make_base(tmp_path / "base", "bert", "classifier")
    train(make_spec(tmp_path, start, epochs=1, learning_rate=1e-9, weight_decay=0))
    old, new = load_file(start / "model.safetensors"), load_file(tmp_path / "trained" / "model.safetensors")
    assert torch.allclose(old["classifier.weight"], new["classifier.weight"], atol=1e-6)


def test_other_classes_get_a_head_of_their_own(tmp_path: Path) -> None:
    start = make_base(tmp_path / "base", "bert", "classifier")
    rows = [{"text": row["text"], "label": index % 3} for index, row in enumerate(opinions(24, 0))]
    train(make_spec(tmp_path, start, epochs=1, data=str(write_rows(tmp_path / "three.jsonl", rows))))
    assert inspect_checkpoint(CheckpointSource(source=str(tmp_path / "trained"))).labels == ("0", "1", "2")


def test_pairs_are_read_as_pairs(base: Path, tmp_path: Path) -> None:
    """Which of two texts comes first can only be told apart by the second one's place."""
    rows = [{"text": "film", "pair": word, "label": word} for word in ("good", "bad")] * 16
    result = train(make_spec(tmp_path, base, data=str(write_rows(tmp_path / "pairs.jsonl", rows)), epochs=12))
    assert result.manifest.losses[-1] < 0.2


def test_numbers_sort_as_numbers_and_label_names_set_the_order(base: Path, tmp_path: Path) -> None:
    rows = [{"text": row["text"], "label": index % 11} for index, row in enumerate(opinions(33, 0))]
    spec = make_spec(tmp_path, base, epochs=1, data=str(write_rows(tmp_path / "eleven.jsonl", rows)))
    assert train(spec).manifest.label_names == tuple(map(str, range(11)))
    other = make_spec(tmp_path, base, epochs=1, label_names=("positive", "negative"), output=tmp_path / "named")
    assert train(other).manifest.label_names == ("positive", "negative")


def test_progress_tells_every_step(base: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    result = train(make_spec(tmp_path, base, epochs=2), progress=lambda step, steps, loss: seen.append((step, steps)))
    assert seen == [(step, 16) for step in range(1, 17)]
    assert result.sentence.startswith(f"{tmp_path / 'trained'}: 16 steps in ")


def test_the_second_run_trains_nothing(base: Path, tmp_path: Path) -> None:
    spec = make_spec(tmp_path, base, epochs=1)
    first = train(spec, if_missing=True)
    before = (tmp_path / "trained" / "model.safetensors").stat().st_mtime_ns
    second = train(spec, if_missing=True, progress=lambda *_: pytest.fail("it trained"))
    assert (first.trained, second.trained) == (True, False)
    assert second.manifest == first.manifest
    assert (tmp_path / "trained" / "model.safetensors").stat().st_mtime_ns == before
    assert "nothing to do" in second.sentence


def test_if_missing_refuses_what_is_not_the_same_training(base: Path, tmp_path: Path) -> None:
    train(make_spec(tmp_path, base, epochs=1))
    with pytest.raises(UsageError, match=r"trained with other settings \(seed: 0 there, 5 asked"):
        train(make_spec(tmp_path, base, epochs=1, seed=5), if_missing=True)
    spec = make_spec(tmp_path, base, epochs=1)
    write_rows(tmp_path / "train.jsonl", opinions(64, seed=9))
    with pytest.raises(UsageError, match="trained on other records"):
        train(spec, if_missing=True)
    write_rows(tmp_path / "train.jsonl", opinions(64, seed=1))
    train(make_spec(tmp_path, base, epochs=2, output=tmp_path / "other"))
    (tmp_path / "other" / "model.safetensors").replace(tmp_path / "trained" / "model.safetensors")
    with pytest.raises(UsageError, match="not those of its manifest"):
        train(spec, if_missing=True)


def test_an_existing_folder_is_only_overwritten_when_told_to(base: Path, tmp_path: Path) -> None:
    spec = make_spec(tmp_path, base, epochs=1)
    spec.output.mkdir()
    (spec.output / "precious.txt").write_text("keep me")
    with pytest.raises(UsageError, match="exists; choose another output, or use --replace"):
        train(spec)
    assert (spec.output / "precious.txt").read_text() == "keep me"
    train(spec, replace=True)
    assert not (spec.output / "precious.txt").exists()
    beside = ["trained.records.safetensors", "trained.steps.parquet"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["assay_keys.json", "train.jsonl", "trained", *beside]


def test_an_interruption_while_training_leaves_nothing(base: Path, tmp_path: Path) -> None:
    def interrupt(step: int, steps: int, loss: float) -> None:
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(make_spec(tmp_path, base), progress=interrupt)
    assert [path.name for path in tmp_path.iterdir()] == ["train.jsonl"]


def test_an_interruption_while_saving_keeps_the_old_checkpoint(tmp_path: Path) -> None:
    output = tmp_path / "out"
    output.mkdir()
    (output / "old").touch()

    def save() -> None:
        with partial_folder(output, replace=True) as folder:
            (folder / "half").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        save()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (output / "old").exists()


def test_a_failing_rename_puts_the_old_checkpoint_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "out"
    output.mkdir()
    (output / "old").touch()
    rename = Path.rename

    def fail_on_the_new_one(path: Path, target: Path) -> Path:
        if ".partial-" in path.name:
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail_on_the_new_one)

    def save() -> None:
        with partial_folder(output, replace=True) as folder:
            (folder / "new").touch()

    with pytest.raises(KeyboardInterrupt):
        save()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (output / "old").exists()


def test_a_learning_rate_that_breaks_the_loss_saves_nothing(base: Path, tmp_path: Path) -> None:
    with pytest.raises(AuditError, match=r"the loss became nan at step \d+ of 32"):
        train(make_spec(tmp_path, base, learning_rate=1e6, weight_decay=1e6, max_grad_norm=None))
    assert not (tmp_path / "trained").exists()


@pytest.mark.parametrize(
    ("rows", "fields", "error", "sentence"),
    [
        ([], {}, DataError, "the file is empty"),
        ([{"text": "a", "label": "x"}, {"text": "b", "label": "x"}], {}, DataError, "every record has the label 'x'"),
        ([{"text": "a"}], {}, DataError, "missing column 'label'"),
        (
            opinions(8, 0),
            {"label_names": ("negative", "neutral")},
            DataError,
            "row 2 of those used has the label 'positive'.*0 'negative', 1 'neutral'",
        ),
        (
            opinions(8, 0),
            {"task": "causal_lm"},
            CheckpointError,
            "offers embeddings, but task causal_lm goes on training a causal LM",
        ),
        (opinions(8, 0), {"max_tokens": 4096}, UsageError, "max_tokens: 4096 is more than the 128"),
        (opinions(8, 0), {"device": "cuda"}, UsageError, "device 'cuda' is not there"),
    ],
)
def test_bad_input_gets_one_sentence(
    base: Path,
    tmp_path: Path,
    rows: list[dict[str, str]],
    fields: dict[str, Any],
    error: type[AssayError],
    sentence: str,
) -> None:
    if fields.get("device") == "cuda" and torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    data = write_rows(tmp_path / "given.jsonl", rows)
    with pytest.raises(error, match=sentence) as raised:
        train(make_spec(tmp_path, base, data=str(data), **fields))
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "trained").exists()


def test_held_out_records_must_not_be_trained_on(base: Path, tmp_path: Path) -> None:
    held_out = write_rows(tmp_path / "held.jsonl", [*opinions(3, seed=1), *nonsense(5, seed=7)])
    with pytest.raises(DataError, match="3 held-out records are also trained on"):
        train(make_spec(tmp_path, base, held_out=str(held_out)))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"learning_rte": 1}, "unknown key 'learning_rte'; did you mean 'learning_rate'"),
        ({"task": "translation"}, "task: .*'classification', 'masked_lm' or 'causal_lm'"),
        ({"label_names": ["a"]}, "two or more different names"),
        ({"label_names": ["a", "b"], "task": "causal_lm"}, "label_names belongs to classification"),
        ({"accumulation": 99}, "accumulation cannot be larger than batch_size"),
        ({"epochs": 0}, "epochs"),
    ],
)
def test_a_wrong_spec_is_one_sentence(change: dict[str, Any], sentence: str) -> None:
    values = {"base": "base", "task": "classification", "data": "data.csv", "output": "out", **change}
    with pytest.raises(UsageError, match=sentence):
        validated(TrainSpec, values, "train.yaml")


def test_a_csv_trains_like_the_same_jsonl(base: Path, tmp_path: Path) -> None:
    rows = opinions(16, seed=3)
    pd.DataFrame(rows).rename(columns={"text": "review", "label": "mood"}).to_csv(tmp_path / "rows.csv", index=False)
    csv = {"source": str(tmp_path / "rows.csv"), "columns": {"text": "review", "label": "mood"}}
    plain = {"source": str(write_rows(tmp_path / "rows.jsonl", rows))}
    for name, source in (("csv", csv), ("jsonl", plain)):
        train(make_spec(tmp_path, base, data=source, epochs=1, output=tmp_path / name))
    assert weights_digest(tmp_path / "csv") == weights_digest(tmp_path / "jsonl")
