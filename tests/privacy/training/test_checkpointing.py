"""`gradient_checkpointing: true` trains the same model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from harness.errors import UsageError
from privacy.training import train
from privacy.training.models import load as model_module
from tests.privacy.toys import make_base, make_spec

SHUFFLED = {"noise_multiplier": 0.0, "max_grad_norm": 0.05, "sampling": "shuffle"}
"""No noise; every record once an epoch, so that both runs take the same steps up to the order of records."""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("base"), "gpt2", "causal_lm", dropout=False)


def weights(base: Path, folder: Path, *, checkpointed: bool, **fields: Any) -> dict[str, torch.Tensor]:
    spec = make_spec(
        folder,
        base,
        task="causal_lm",
        gradient_checkpointing=checkpointed,
        epochs=2,
        batch_size=64,
        output=folder / str(checkpointed),
        **fields,
    )
    train(spec)
    found: dict[str, torch.Tensor] = load_file(spec.output / "model.safetensors")
    return found


@pytest.mark.parametrize("lora", [None, {"rank": 2}])
@pytest.mark.parametrize("privacy", [None, SHUFFLED])
def test_it_trains_the_same_model(base: Path, tmp_path: Path, privacy: Any, lora: Any) -> None:
    """One batch holds all records: the order in which they are drawn changes nothing but the last bits."""
    # Adam divides by the gradient's size, which makes rounding noise of gradients that are zero a whole step
    fields: dict[str, Any] = {"privacy": privacy, "lora": lora, "optimizer": "sgd", "learning_rate": 0.5}
    plain = weights(base, tmp_path, checkpointed=False, **fields)
    found = weights(base, tmp_path, checkpointed=True, **fields)
    start = load_file(base / "model.safetensors")
    assert any(not torch.equal(plain[name], start[name]) for name in start)
    for name, value in plain.items():
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-6)


def test_layers_do_run_twice(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = [0]
    forward = nn.LayerNorm.forward

    def counted(self: nn.LayerNorm, given: torch.Tensor) -> torch.Tensor:
        calls[0] += 1
        return forward(self, given)

    monkeypatch.setattr(nn.LayerNorm, "forward", counted)
    seen = []
    for checkpointed in (False, True):
        calls[0] = 0
        weights(base, tmp_path, checkpointed=checkpointed)
        seen.append(calls[0])
    blocks = json.loads((base / "config.json").read_text())["n_layer"]
    assert seen[1] - seen[0] == 2 * blocks * 2  # two steps of one batch, two norms in each block


def test_architectures_that_cannot_are_refused() -> None:
    class Stubborn:
        supports_gradient_checkpointing = False
        config = type("Config", (), {"model_type": "stubborn"})

    with pytest.raises(UsageError, match="stubborn models cannot run so"):
        model_module._checkpoint(Stubborn())


def test_opacus_engines_refuse_it(base: Path, tmp_path: Path) -> None:
    privacy = {"epsilon": 8, "engine": "opacus-hooks"}
    with pytest.raises(ValueError, match="which opacus-hooks takes for two uses"):
        make_spec(tmp_path, base, gradient_checkpointing=True, privacy=privacy)


def test_digests_of_older_trainings_stay(base: Path, tmp_path: Path) -> None:
    assert "gradient_checkpointing" not in make_spec(tmp_path, base).canonical()
    assert make_spec(tmp_path, base, gradient_checkpointing=True).canonical()["gradient_checkpointing"] is True
