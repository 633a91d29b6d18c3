"""`assay train` with a guarantee, end to end on tiny models."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from harness.checkpoint import CheckpointSource, inspect_checkpoint, load_checkpoint
from harness.errors import AuditError, UsageError
from privacy.accounting import Mechanism, claim
from privacy.clipping import per_sample_loss
from privacy.ledger import LedgerError, read_chain
from privacy.ledger.state import load_state
from privacy.sampling import Shard, ShuffledSampling
from privacy.training import TrainSpec, train
from privacy.training import run as run_module
from privacy.training.models.objective import Objective
from privacy.training.private.session import LEDGER_NAME, session_folder
from tests.privacy.claim_cases import facts, genuine
from tests.privacy.toys import make_base, make_spec, opinions, write_rows

EXACT = {"noise_multiplier": 0.0, "max_grad_norm": 1e6, "sampling": "shuffle"}
"""No noise, nothing clipped, every record once an epoch: ordinary training by another road."""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("base"), "bert", "classifier", dropout=False)


def privately(folder: Path, base: Path, privacy: dict[str, Any], **fields: Any) -> TrainSpec:
    return make_spec(folder, base, privacy=privacy, **{"batch_size": 16, "epochs": 2, **fields})


def weights(output: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = load_file(output / "model.safetensors")
    return found


@pytest.fixture(scope="module")
def trained(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained at epsilon 8."""
    folder = tmp_path_factory.mktemp("private")
    result = train(privately(folder, base, {"epsilon": 8}))
    assert "epsilon <= " in result.sentence
    return folder / "trained"


def test_the_claim_keeps_to_the_target_and_can_be_recomputed(trained: Path) -> None:
    found = genuine(trained)
    assert 7.9 < found.epsilon <= 8
    assert found.delta == pytest.approx(1 / (10 * 64))
    again = claim(Mechanism(found.noise_multiplier, found.sample_rate, found.compositions), found.delta)
    assert again.epsilon == found.epsilon
    assert found.second_accountant == "pld"
    assert found.second_opinion is not None
    assert found.rdp is not None
    assert found.rdp >= found.second_opinion
    assert (found.sample_rate, found.steps, found.compositions) == (16 / 64, 8, 8)


def test_the_ledger_beside_the_weights_proves_the_steps(trained: Path) -> None:
    chain = read_chain(trained / LEDGER_NAME)
    found = genuine(trained)
    assert (chain.spent, chain.head) == (found.steps, found.ledger)
    assert chain.header.noise_multiplier == found.noise_multiplier
    assert not session_folder(trained).exists()


def test_a_finished_private_run_is_known_again(trained: Path, base: Path) -> None:
    spec = privately(trained.parent, base, {"epsilon": 8})
    assert not train(spec, if_missing=True).trained


def test_a_finished_run_with_an_edited_ledger_is_refused(trained: Path, base: Path, tmp_path: Path) -> None:
    path = trained / LEDGER_NAME
    whole = path.read_bytes()
    try:
        path.write_bytes(whole[: whole[:-1].rindex(b"\n") + 1])
        with pytest.raises(UsageError, match=r"holds 7 noisy steps, the manifest claims 8 "):
            train(privately(trained.parent, base, {"epsilon": 8}), if_missing=True)
    finally:
        path.write_bytes(whole)


def test_the_checkpoint_is_an_ordinary_one(trained: Path) -> None:
    loaded = load_checkpoint(inspect_checkpoint(CheckpointSource(source=str(trained))), device="cpu")
    assert not hasattr(loaded.model, "autograd_grad_sample_hooks")


@pytest.mark.parametrize("engine", ["book-keeping", "one-sample", "opacus-hooks"])
def test_without_noise_and_clipping_it_is_ordinary_training(base: Path, tmp_path: Path, engine: str) -> None:
    """Against a loop written here: one record's gradient at a time, AdamW on their mean."""
    spec = privately(tmp_path, base, {**EXACT, "engine": engine}, weight_decay=0.0, accumulation=4, seed=3)
    train(spec)
    found = weights(spec.output)
    expected = by_hand(spec, base)
    assert_close(found, expected)


def assert_close(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    for name, value in expected.items():
        if name.endswith("key.bias"):
            continue  # its gradient is zero but for rounding, of which Adam makes full steps
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=2e-6)


def by_hand(spec: TrainSpec, base: Path) -> dict[str, torch.Tensor]:
    loaded = load_checkpoint(inspect_checkpoint(CheckpointSource(source=str(base))), device="cpu", dtype="fp32")
    model, rows = loaded.model, opinions(64, seed=1)
    model.train()
    names = ("negative", "positive")
    optimizer = torch.optim.AdamW(model.parameters(), lr=spec.learning_rate, weight_decay=0.0)
    sampling = ShuffledSampling(64, spec.batch_size, spec.epochs, spec.seed)
    warm = math.ceil(0.1 * sampling.steps)
    for step in range(sampling.steps):
        factor = (step + 1) / warm if step < warm else (sampling.steps - step) / (sampling.steps - warm)
        optimizer.param_groups[0]["lr"] = spec.learning_rate * factor
        optimizer.zero_grad()
        for index in sampling.draw(step, None, Shard()):  # type: ignore[arg-type]  # its order is its seed's
            encoded = loaded.tokenizer(rows[index]["text"], return_tensors="pt", truncation=True, max_length=128)
            batch = {**encoded, "labels": torch.tensor([names.index(rows[index]["label"])])}
            loss = per_sample_loss(model, batch, "classification").sum() / spec.batch_size
            loss.backward()  # type: ignore[no-untyped-call]  # torch has no type for it
        optimizer.step()
    return {name: value.detach() for name, value in model.named_parameters()}


def test_noise_and_clipping_change_the_weights(base: Path, tmp_path: Path) -> None:
    for name, privacy in (("plain", EXACT), ("clipped", {**EXACT, "max_grad_norm": 1e-3})):
        train(privately(tmp_path, base, privacy, output=tmp_path / name))
    assert any(
        (weights(tmp_path / "plain")[name] != value).any() for name, value in weights(tmp_path / "clipped").items()
    )


def test_two_runs_never_draw_the_same_noise(base: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        train(privately(tmp_path, base, {"noise_multiplier": 1.0, "sampling": "shuffle"}, output=tmp_path / name))
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert all((one[name] != two[name]).any() for name in one if name.endswith("weight"))


def test_empty_batches_step_and_add_noise(base: Path, tmp_path: Path) -> None:
    spec = privately(tmp_path, base, {"noise_multiplier": 1.0}, batch_size=1, epochs=1)
    seen: list[int] = []
    train(spec, progress=lambda step, steps, loss: seen.append(step) if steps else None)
    assert seen == list(range(1, 65))
    found = genuine(spec.output)
    assert found.steps == 64
    assert facts(found).drawn < 3 * 64  # one record a step on average, so about 23 steps had none


def test_a_record_without_a_finite_loss_contributes_zero_and_is_counted(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objective = run_module._objective

    def poisoned(*args: Any) -> Objective:
        usual = objective(*args)

        def losses(model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
            values = usual.losses(model, batch)
            return values + torch.where(batch["label"].flatten() == 1, float("nan"), 0.0)

        return replace(usual, losses=losses)

    monkeypatch.setattr(run_module, "_objective", poisoned)
    result = train(privately(tmp_path, base, EXACT, epochs=1))
    found = genuine(result.folder)
    assert (facts(found).drawn, facts(found).non_finite) == (64, 32)
    assert "32 of 64 records drawn had no finite gradient and contributed zero" in result.sentence
    assert all(value.isfinite().all() for value in weights(result.folder).values())


def test_a_user_with_several_records_is_protected_as_a_whole(base: Path, tmp_path: Path) -> None:
    rows = [{**row, "author": f"a{index // 2}"} for index, row in enumerate(opinions(64, seed=1))]
    data = str(write_rows(tmp_path / "owned.jsonl", rows))
    privacy = {"noise_multiplier": 2.0}
    each = genuine(train(privately(tmp_path, base, privacy, data=data, output=tmp_path / "each")).folder)
    user = genuine(
        train(privately(tmp_path, base, {**privacy, "unit": "author"}, data=data, output=tmp_path / "user")).folder
    )
    assert (each.unit, each.units, each.group) == ("each record", 64, 1)
    assert (user.unit, user.units, user.group) == ("all records of one author", 32, 2)
    assert user.accountant == "pld"
    assert user.epsilon > each.epsilon
    assert user.note is not None
    assert "was read from the data" in user.note


def test_shuffled_training_claims_no_amplification(base: Path, tmp_path: Path) -> None:
    found = genuine(train(privately(tmp_path, base, {"noise_multiplier": 2.0, "sampling": "shuffle"})).folder)
    assert (found.sampling, found.sample_rate, found.compositions) == ("shuffled, no amplification", 1.0, 2)
    poisson = claim(Mechanism(2.0, 16 / 64, 8), found.delta)
    assert found.epsilon > poisson.epsilon


@pytest.mark.parametrize("clipping", ["per-layer", "automatic", "adaptive"])
def test_every_rule_trains(base: Path, tmp_path: Path, clipping: str) -> None:
    found = genuine(train(privately(tmp_path, base, {"epsilon": 8, "clipping": clipping})).folder)
    assert found.clipping == clipping
    assert found.epsilon <= 8


@pytest.mark.parametrize(
    ("privacy", "fields", "sentence"),
    [
        ({"epsilon": 8, "delta": 0.1}, {}, "delta"),
        ({"epsilon": 1e-7, "delta": 1e-12}, {}, "epsilon"),
        ({"epsilon": 8}, {"batch_size": 65}, "larger than the data"),
    ],
)
def test_bad_input_gets_one_sentence(
    base: Path, tmp_path: Path, privacy: dict[str, Any], fields: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence) as raised:
        train(privately(tmp_path, base, privacy, **fields))
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "trained").exists()


class CrashError(Exception):
    """Something that Assay does not foresee."""


def crash_at(step: int, error: type[BaseException] = CrashError) -> Any:
    def progress(done: int, steps: int, loss: float) -> None:
        if done == step:
            raise error

    return progress


def test_a_crashed_run_goes_on_and_counts_what_was_lost(base: Path, tmp_path: Path) -> None:
    spec = privately(tmp_path, base, {"epsilon": 8, "save_every": 2}, epochs=5)
    with pytest.raises(CrashError):
        train(spec, progress=crash_at(5))
    assert read_chain(session_folder(spec.output) / LEDGER_NAME).spent == 5
    steps: list[int] = []
    result = train(spec, progress=lambda step, total, loss: steps.append(step) if total else None)
    assert steps == list(range(6, 21))
    found = genuine(spec.output)
    assert (found.steps, found.steps_lost) == (20, 1)
    assert found.epsilon <= 8
    assert "1 of 20 steps was lost in crashes" in result.sentence


def test_ctrl_c_between_two_steps_loses_none(base: Path, tmp_path: Path) -> None:
    spec = privately(tmp_path, base, {"epsilon": 8})
    with pytest.raises(KeyboardInterrupt):
        train(spec, progress=crash_at(3, KeyboardInterrupt))
    train(spec)
    found = genuine(spec.output)
    assert (found.steps, found.steps_lost) == (8, 0)


def test_going_on_gives_what_an_undisturbed_run_gives(base: Path, tmp_path: Path) -> None:
    whole = privately(tmp_path, base, {**EXACT, "save_every": 1}, output=tmp_path / "whole")
    train(whole)
    stopped = whole.model_copy(update={"output": tmp_path / "stopped"})
    with pytest.raises(CrashError):
        train(stopped, progress=crash_at(3))
    train(stopped)
    assert_close(weights(stopped.output), weights(whole.output))
    assert genuine(stopped.output).epsilon == math.inf


def test_an_unfinished_run_is_not_taken_over_by_other_settings(base: Path, tmp_path: Path) -> None:
    spec = privately(tmp_path, base, {"epsilon": 8})
    with pytest.raises(CrashError):
        train(spec, progress=crash_at(2))
    other = spec.model_copy(update={"learning_rate": 1e-5})
    with pytest.raises(
        UsageError, match=r"2 steps of its budget spent, but its spec digest is not this one's.*--replace"
    ):
        train(other)
    train(other, replace=True)
    aside = [path for path in tmp_path.iterdir() if path.name.startswith("trained.training.")]
    assert len(aside) == 1
    assert read_chain(aside[0] / LEDGER_NAME).spent == 2


def test_an_edited_ledger_stops_the_run(base: Path, tmp_path: Path) -> None:
    spec = privately(tmp_path, base, {"epsilon": 8})
    with pytest.raises(CrashError):
        train(spec, progress=crash_at(3))
    path = session_folder(spec.output) / LEDGER_NAME
    path.write_text(path.read_text().replace('"step": 1', '"step": 0'))
    with pytest.raises(LedgerError, match="line 3 was changed after it was written") as raised:
        train(spec)
    assert "\n" not in str(raised.value)


def test_weights_that_are_no_numbers_are_not_written_and_spend_no_more(base: Path, tmp_path: Path) -> None:
    """They are looked at whenever a state would be saved: what lies on disk is the last good one."""
    spec = privately(tmp_path, base, {"noise_multiplier": 1.0}, learning_rate=1e6, weight_decay=1e6, epochs=40)
    with pytest.raises(AuditError, match="are no numbers after step 16, so no further step is taken"):
        train(spec)
    assert not spec.output.exists()
    chain = read_chain(session_folder(spec.output) / LEDGER_NAME)
    assert chain.spent == 16  # of 160
    state = load_state(session_folder(spec.output), chain)
    assert state is not None
    assert all(value.isfinite().all() for value in state.tensors.values())


def test_a_run_that_is_going_on_is_not_replaced(base: Path, tmp_path: Path) -> None:
    spec = privately(tmp_path, base, {"epsilon": 8})

    def second(step: int, steps: int, loss: float) -> None:
        if step == 1:
            with pytest.raises(LedgerError, match="in use by process"):
                train(spec, replace=True)

    train(spec, progress=second)
    assert genuine(spec.output).steps_lost == 0


def test_a_vocabulary_that_saw_private_records_is_outside_the_claim(tmp_path: Path) -> None:
    private = opinions(64, seed=1)
    public = write_rows(tmp_path / "public.jsonl", [*opinions(200, seed=9), *private[:10]])
    fresh = {"kind": "bert", "layers": 1, "hidden": 16, "heads": 2, "vocabulary": 300, "corpus": str(public)}
    values = {
        "fresh": fresh,
        "task": "classification",
        "label_names": ("negative", "positive"),
        "data": str(write_rows(tmp_path / "train.jsonl", private)),
    }
    settings = {"epochs": 1, "batch_size": 16, "privacy": {"noise_multiplier": 1.0}, "output": tmp_path / "trained"}
    spec = TrainSpec.model_validate({**values, **settings, "device": "cpu"})
    result = train(spec, progress=lambda *_: public.unlink(missing_ok=True))  # it is read once, before the first step
    assert genuine(spec.output).outside == ("the tokenizer's vocabulary: 10 texts of its corpus are training records",)
    assert "not covered: the tokenizer's vocabulary" in result.sentence
