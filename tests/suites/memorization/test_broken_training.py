"""Trainings that are broken on purpose claim what they claimed before, and the audit of epsilon raises its alarm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from harness.base.files import make_folder
from harness.checkpoint import CheckpointSource, Permissions, inspect_checkpoint
from harness.gate.decide import Outcome, decide
from privacy.clipping.rules import Flat
from privacy.noise.source import GeneratorNoise
from privacy.sampling import PoissonSampling
from privacy.training import train
from suites.memorization.epsilon_audit import EpsilonAudit, EpsilonAuditParams
from tests.privacy.toys import make_base, make_spec, nonsense, write_rows
from tests.suites.memorization.planted import measured

pytestmark = pytest.mark.slow


def audited(folder: Path, canaries: int, classes: int, share: float, **fields: Any) -> Any:
    """(lower bound on epsilon, claimed epsilon, verdict without a policy) of a private training, its claim as ever.

    Only a head is trained, on features that canaries hardly share a class of: what one teaches is seen in its class
    alone. The gradients are many times longer than the norm that they are clipped to, so each tells all it may.
    """
    base = make_base(folder / "base", "bert", "base", dropout=False)
    values: dict[str, Any] = {
        "data": str(write_rows(folder / "records.jsonl", nonsense(1000, 1, classes=2))),
        "label_names": tuple(map(str, range(classes))),
        "canaries": {"canaries": [{"kind": "random-tokens", "count": canaries, "tokens": 8}]},
        "privacy": {"epsilon": 1.0, "delta": 1e-5, "max_grad_norm": 0.1},
        "mode": "head",
        "optimizer": "sgd",
        "learning_rate": 10,
        "epochs": 60,
        "batch_size": 1000,
        **fields,
    }
    train(make_spec(folder, base, **values))
    info = inspect_checkpoint(CheckpointSource(source=str(folder / "trained")), Permissions(manifest_sources=True))
    assert info.manifest is not None
    assert info.manifest.privacy is not None
    _, metrics = measured(EpsilonAudit(EpsilonAuditParams(guessed=(share,))), info)  # fixed: no error is shared out
    bound = metrics["epsilon_lower"]
    return bound, info.manifest.privacy.epsilon, decide(None, [bound])


def assert_caught(folder: Path, canaries: int, classes: int, share: float, **fields: Any) -> None:
    """In one of three trainings: noise and coins are the system's, and no bound is as high each time.

    In eight trials or so of each the first was enough: three in a row that miss it are rarer than a broken disk.
    """
    for attempt in ("first", "second", "third"):
        bound, claimed, verdict = audited(make_folder(folder / attempt), canaries, classes, share, **fields)
        if bound.alarm is not None:
            break
    assert claimed <= 1
    assert bound.value > claimed
    assert bound.alarm is not None
    assert verdict.outcome is Outcome.BLOCK
    assert "a bug in the training or in its accounting is the likeliest cause" in verdict.reason


def test_clipping_that_is_off(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Flat, "weights", lambda self, squares: torch.ones_like(squares))
    privacy = {"epsilon": 1.0, "delta": 1e-5, "max_grad_norm": 0.01}
    assert_caught(tmp_path, 1000, 1000, 0.1, privacy=privacy)


def test_noise_that_is_ten_times_too_small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    add = GeneratorNoise.add
    monkeypatch.setattr(
        GeneratorNoise, "add", lambda self, summed, deviation, place: add(self, summed, deviation / 10, place)
    )
    assert_caught(tmp_path, 1000, 1000, 0.1)


def test_a_batch_that_repeats(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Few canaries are in it, and these are in every step: the few surest guesses tell."""
    draw = PoissonSampling.draw
    drawn: dict[PoissonSampling, Any] = {}
    monkeypatch.setattr(
        PoissonSampling,
        "draw",
        lambda self, step, generator, shard: drawn.setdefault(self, draw(self, 0, generator, shard)),
    )
    assert_caught(tmp_path, 3000, 10_000, 0.035, batch_size=150, epochs=20, learning_rate=3)


def test_a_training_that_keeps_its_promise_raises_no_alarm(tmp_path: Path) -> None:
    bound, claimed, verdict = audited(tmp_path, 1000, 1000, 0.1)
    assert bound.value <= claimed
    assert verdict.outcome is Outcome.INCONCLUSIVE  # without a policy nothing is decided
