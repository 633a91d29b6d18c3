"""A small classifier of opinions, to be hardened against misspelling in seconds."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from harness.api.scorer import TextRequest
from harness.checkpoint import CheckpointSource, inspect_checkpoint, load_checkpoint
from harness.provenance.manifest import TrainingManifest, read_manifest
from harness.scorer.hf import HFScorer
from privacy.training import TrainSpec
from suites.adversarial.harden import HardenSpec
from tests.privacy.toys import make_base, opinions, write_rows

N, HELD_OUT = 48, 30


def make_train(folder: Path, **fields: Any) -> dict[str, Any]:
    """A training spec in words; its files lie in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    base = folder / "base"
    if not base.exists():
        make_base(base, "bert", "base")
    train = write_rows(folder / "train.jsonl", opinions(N, seed=1))
    held_out = write_rows(folder / "held.jsonl", opinions(HELD_OUT, seed=2))
    return {
        "base": str(base),
        "task": "classification",
        "data": str(train),
        "held_out": str(held_out),
        "epochs": 8,
        "batch_size": 8,
        "learning_rate": 4e-3,
        "device": "cpu",
        **fields,
    }


def make_spec(folder: Path, **fields: Any) -> HardenSpec:
    """Augmentation with half of the texts; `fields` win."""
    values = {
        "train": make_train(folder),
        "method": "augment",
        "recipe": "deepwordbug",
        "share": 0.5,
        "epochs": 2,
        "concurrent": 8,
    }
    return HardenSpec.model_validate({**values, "output": folder / "out", **fields})


def train_spec(spec: HardenSpec, **fields: Any) -> TrainSpec:
    """The training of a hardening with other settings."""
    return TrainSpec.model_validate({**spec.train.model_dump(), **fields})


def digest(folder: Path) -> str:
    """Of the weights as they lie there."""
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def manifest_of(folder: Path) -> TrainingManifest:
    """The training manifest of a checkpoint."""
    found = read_manifest(folder)
    assert found is not None
    return found


def classes(folder: Path, texts: list[str]) -> list[int]:
    """What a checkpoint predicts."""
    scorer = HFScorer(load_checkpoint(inspect_checkpoint(CheckpointSource(source=str(folder))), device="cpu"))
    return [answer.label for answer in scorer.ask([TextRequest(text) for text in texts])]
