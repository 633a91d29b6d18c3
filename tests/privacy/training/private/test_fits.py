"""A saved state that was edited by hand is refused by name, before anything is spent on it.

Guards against: a run went on from an optimizer's state that held NaN.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from privacy.clipping import BookKeepingEngine
from privacy.ledger import Ledger, LedgerError, load_state, read_chain, save_state
from privacy.ledger.state import STATE_NAME, SavedState
from privacy.training import train
from privacy.training.private.fits import check_fits
from privacy.training.private.ranks import Ranks
from privacy.training.private.session import LEDGER_NAME, session_folder
from privacy.training.private.sharding import StateShardedOptimizer
from privacy.training.private.shared_step import SharedOptimizer
from tests.privacy.claim_cases import genuine
from tests.privacy.ledger_cases import make_header
from tests.privacy.toys import make_base, make_spec


class CrashError(Exception):
    """Something that Assay does not foresee."""


def stepped(kind: str) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    """A model after two steps of its optimizer."""
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2)
    groups = [{"params": [model.weight], "weight_decay": 0.1}, {"params": [model.bias], "weight_decay": 0.0}]
    made: dict[str, Callable[[], torch.optim.Optimizer]] = {
        "adamw": lambda: torch.optim.AdamW(groups, lr=0.1),
        "momentum": lambda: torch.optim.SGD(groups, lr=0.1, momentum=0.9),
        "sgd": lambda: torch.optim.SGD(groups, lr=0.1),
    }
    optimizer = made[kind]()
    for _ in range(2):
        model(torch.ones(1, 3)).sum().backward()
        optimizer.step()
    return model, optimizer


def saved(kind: str) -> tuple[SavedState, dict[str, torch.Tensor]]:
    """What a run of two steps saves, and the mean of its weights."""
    model, optimizer = stepped(kind)
    weights = {name: value.detach().clone() for name, value in model.named_parameters()}
    extra: dict[str, Any] = {"max_grad_norm": 0.1, "steps": [{"step": 0}, {"step": 1}], "averaged": 1}
    state = SavedState(2, weights, copy.deepcopy(optimizer.state_dict()), extra, "head", 3)
    return state, {name: value.clone() for name, value in weights.items()}


def fits(kind: str, state: SavedState, averaged: dict[str, torch.Tensor], norm: float | None = 0.1) -> None:
    model, optimizer = stepped(kind)
    groups, trained = [["weight"], ["bias"]], dict(model.named_parameters())
    check_fits(Path("run"), state, averaged, trained, groups, optimizer.state_dict(), norm)


@pytest.mark.parametrize("kind", ["adamw", "momentum", "sgd"])
def test_what_a_run_leaves_fits(kind: str) -> None:
    state, averaged = saved(kind)
    fits(kind, state, averaged)
    fits(kind, state, {})
    state.optimizer_state["param_groups"][0]["lr"] = 0.03  # set anew before each step
    state.optimizer_state["param_groups"][1]["of_a_later_torch"] = True
    fits(kind, state, averaged)
    fits(kind, state, averaged, norm=None)


Edit = Callable[[SavedState, dict[str, torch.Tensor]], object]


def moments(state: SavedState) -> dict[str, Any]:
    kept: dict[str, Any] = state.optimizer_state["state"][0]
    return kept


def group(state: SavedState) -> dict[str, Any]:
    first: dict[str, Any] = state.optimizer_state["param_groups"][0]
    return first


EDITS: dict[str, tuple[str, Edit]] = {
    "nan in a moment": ("exp_avg of weight holds what is no", lambda s, a: moments(s)["exp_avg"].fill_(math.nan)),
    "inf in a square": ("exp_avg_sq of weight holds what", lambda s, a: moments(s)["exp_avg_sq"].fill_(math.inf)),
    "a negative square": ("exp_avg_sq of weight is negative", lambda s, a: moments(s)["exp_avg_sq"].fill_(-1)),
    "nan in the count": ("step of weight is no number of", lambda s, a: moments(s)["step"].fill_(math.nan)),
    "a negative count": ("step of weight is no number of", lambda s, a: moments(s)["step"].fill_(-3)),
    "another shape": (
        r"exp_avg of weight is float32 of shape \[6\], not float32 of shape \[2, 3\]",
        lambda s, a: moments(s).update(exp_avg=torch.zeros(6)),
    ),
    "another kind": (
        r"exp_avg of weight is float64 of shape \[2, 3\], not float32",
        lambda s, a: moments(s).update(exp_avg=torch.zeros(2, 3, dtype=torch.float64)),
    ),
    "a text": ("exp_avg of weight is no number of", lambda s, a: moments(s).update(exp_avg="0")),
    "another decay": ("weight_decay is 0.5, not 0.1", lambda s, a: group(s).update(weight_decay=0.5)),
    "other betas": (r"betas is \(0.0, 0.0\), not \(0.9", lambda s, a: group(s).update(betas=(0.0, 0.0))),
    "a group gone": ("groups are not those", lambda s, a: s.optimizer_state["param_groups"].pop()),
    "parameters swapped": ("groups are not those", lambda s, a: group(s).update(params=[1])),
    "no groups": ("groups are not those", lambda s, a: s.optimizer_state.clear()),
    "no group": ("groups are not those", lambda s, a: s.optimizer_state.update(param_groups=["weight", "bias"])),
    "no state": ("groups are not those", lambda s, a: s.optimizer_state.update(state={0: 1.5})),
    "state of none": ("weights that this run does not", lambda s, a: s.optimizer_state["state"].update({7: {}})),
    "nan in a weight": ("the weight bias holds what is no", lambda s, a: s.tensors["bias"].fill_(math.nan)),
    "a weight gone": ("the weight bias is missing", lambda s, a: s.tensors.pop("bias")),
    "a weight more": ("the weight more is none that", lambda s, a: s.tensors.update(more=torch.zeros(1))),
    "a weight that would be spread": (
        r"the weight bias is float32 of shape \[1\], not float32 of shape \[2\]",
        lambda s, a: s.tensors.update(bias=torch.zeros(1)),
    ),
    "nan in the mean": ("the mean of the weight bias holds", lambda s, a: a["bias"].fill_(math.nan)),
    "half a mean": ("the mean of the weight bias is missing", lambda s, a: a.pop("bias")),
    "a clipping norm of none": ("clipping norm is nan", lambda s, a: s.extra.update(max_grad_norm=math.nan)),
    "another clipping norm": ("clipping norm is 10, not 0.1", lambda s, a: s.extra.update(max_grad_norm=10.0)),
    "a step forgotten": ("tell of each of the 2 steps", lambda s, a: s.extra.update(steps=[{"step": 0}])),
    "a mean of more steps": ("mean of the weights counts 9 steps of 2", lambda s, a: s.extra.update(averaged=9)),
}


@pytest.mark.parametrize("name", EDITS)
def test_what_no_run_leaves_is_named(name: str) -> None:
    sentence, edit = EDITS[name]
    state, averaged = saved("adamw")
    edit(state, averaged)
    with pytest.raises(LedgerError, match=sentence) as raised:
        fits("adamw", state, averaged)
    assert str(raised.value).startswith(f"run/{STATE_NAME}: ")
    assert "move the run aside with --replace" in str(raised.value)


def test_a_momentum_that_is_no_number_is_named() -> None:
    state, averaged = saved("momentum")
    moments(state)["momentum_buffer"].fill_(math.inf)
    with pytest.raises(LedgerError, match="momentum_buffer of weight holds what is no number"):
        fits("momentum", state, averaged)


@pytest.mark.parametrize("kind", [SharedOptimizer, StateShardedOptimizer])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_what_the_optimizers_of_a_run_save_fits_theirs_when_it_goes_on(
    kind: type[SharedOptimizer], momentum: float, tmp_path: Path
) -> None:
    """Written and read again, by an optimizer of whole weights and by one of pieces."""

    def made() -> tuple[BookKeepingEngine, SharedOptimizer]:
        torch.manual_seed(0)
        engine = BookKeepingEngine(torch.nn.Linear(3, 2), max_grad_norm=0.1)
        value, bias = engine.trained.values()
        groups = [{"params": [value], "weight_decay": 0.1}, {"params": [bias], "weight_decay": 0.0}]
        inner: torch.optim.Optimizer = torch.optim.AdamW(groups)
        if momentum:
            inner = torch.optim.SGD(groups, lr=0.1, momentum=momentum)
        return engine, kind(inner, ranks=Ranks(), engine=engine, noise_multiplier=1.0, expected_batch_size=4)

    engine, optimizer = made()
    with Ledger.create(tmp_path / LEDGER_NAME, make_header()) as ledger:
        ledger.spend(0)
        with engine.recording(0):
            engine.backward(torch.zeros(0))
        optimizer.step()
        extra: dict[str, Any] = {"max_grad_norm": 0.1, "steps": [{"step": 0}], "averaged": 0}
        whole, trained = optimizer.whole_state(), dict(engine.trained)
        save_state(
            tmp_path,
            1,
            tensors=trained,
            optimizer_state=whole,
            extra=extra,
            ledger_head=ledger.head,
            ledger_spent=ledger.spent,
        )
    state = load_state(tmp_path, read_chain(tmp_path / LEDGER_NAME))
    assert state is not None
    assert len(state.optimizer_state["state"]) == 2
    again, other = made()
    check_fits(tmp_path, state, {}, again.trained, other.groups(), other.whole_state(), 0.1)
    other.load_whole_state(state.optimizer_state)
    for place, kept in other.whole_state()["state"].items():
        assert all(torch.equal(value, whole["state"][place][key]) for key, value in kept.items() if value is not None)


def crash_at(step: int) -> Any:
    def progress(done: int, steps: int, loss: float) -> None:
        if done == step:
            raise CrashError

    return progress


def rewritten(path: Path, edit: Callable[[dict[str, torch.Tensor]], object], *, digest: bool) -> bytes:
    """`path` as an editor of safetensors writes it again."""
    with safe_open(path, framework="pt") as file:
        facts = dict(file.metadata())
        tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118  # no mapping
    if not digest:
        del facts["sha256"]
    edit(tensors)
    other = path.with_suffix(".edited")
    save_file(tensors, other, facts)
    return other.read_bytes()


def test_a_run_does_not_go_on_from_an_edited_state(tmp_path: Path) -> None:
    base = make_base(tmp_path / "base", "bert", "classifier", dropout=False)
    spec = make_spec(tmp_path, base, privacy={"noise_multiplier": 2.0}, epochs=1)
    with pytest.raises(CrashError):
        train(spec, progress=crash_at(3))
    folder = session_folder(spec.output)
    path, spent = folder / STATE_NAME, read_chain(folder / LEDGER_NAME).spent
    untouched = path.read_bytes()

    def spoil(tensors: dict[str, torch.Tensor]) -> None:
        next(value for name, value in tensors.items() if name.endswith("exp_avg")).fill_(math.nan)

    path.write_bytes(rewritten(path, spoil, digest=True))
    with pytest.raises(LedgerError, match=r"state.safetensors: was changed since it was saved; put back"):
        train(spec)
    path.write_bytes(untouched)
    path.write_bytes(rewritten(path, spoil, digest=False))
    with pytest.raises(
        LedgerError, match=r"the optimizer's exp_avg of \S+ holds what is no number, which no run leaves"
    ):
        train(spec)
    assert read_chain(folder / LEDGER_NAME).spent == spent
    path.write_bytes(untouched)
    path.write_bytes(rewritten(path, lambda tensors: None, digest=False))  # as an older version saved it
    train(spec)
    assert genuine(spec.output).steps_lost == 0
