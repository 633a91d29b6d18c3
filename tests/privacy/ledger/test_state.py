"""Saved states: bit-equal, whole at every moment, and refused beside a ledger they do not belong to."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from harness.errors import AuditError
from privacy.ledger import Ledger, LedgerError, read_chain
from privacy.ledger.chain import Chain
from privacy.ledger.flatten import flatten, unflatten
from privacy.ledger.state import STATE_NAME, SavedState, load_state, save_state
from tests.privacy.ledger_cases import make_header


def make_model() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.LayerNorm(4), torch.nn.Linear(4, 2, bias=False))


def make_optimizer(name: str, model: torch.nn.Module) -> torch.optim.Optimizer:
    matrices = [value for value in model.parameters() if value.ndim > 1]
    vectors = [value for value in model.parameters() if value.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    made: dict[str, Callable[[], torch.optim.Optimizer]] = {
        "adamw": lambda: torch.optim.AdamW(groups, lr=0.01, betas=(0.8, 0.95)),
        "amsgrad": lambda: torch.optim.AdamW(groups, lr=0.01, amsgrad=True, foreach=False),
        "sgd": lambda: torch.optim.SGD(groups, lr=0.01),
        "momentum": lambda: torch.optim.SGD(groups, lr=0.01, momentum=0.9, nesterov=True),
        "tensor_rate": lambda: torch.optim.AdamW(groups, lr=torch.tensor(0.01)),
    }
    return made[name]()


def take_step(model: torch.nn.Module, optimizer: torch.optim.Optimizer, step: int) -> None:
    batch = torch.randn(5, 3, generator=torch.Generator().manual_seed(step))
    optimizer.zero_grad()
    model(batch).square().sum().backward()
    optimizer.step()


def save(folder: Path, ledger: Ledger, model: torch.nn.Module, optimizer: torch.optim.Optimizer, **extra: Any) -> None:
    save_state(
        folder,
        ledger.spent,
        tensors=dict(model.named_parameters()),
        optimizer_state=optimizer.state_dict(),
        extra=extra,
        ledger_head=ledger.head,
        ledger_spent=ledger.spent,
    )


def loaded(folder: Path, chain: Chain) -> SavedState:
    state = load_state(folder, chain)
    assert state is not None
    return state


@pytest.mark.parametrize("name", ["adamw", "amsgrad", "sgd", "momentum", "tensor_rate"])
def test_a_run_that_goes_on_takes_the_very_same_steps(tmp_path: Path, name: str) -> None:
    model = make_model()
    optimizer = make_optimizer(name, model)
    with Ledger.create(tmp_path / "ledger.jsonl", make_header()) as ledger:
        for step in range(3):
            ledger.spend(step)
            take_step(model, optimizer, step)
        save(tmp_path, ledger, model, optimizer)
    state = loaded(tmp_path, ledger.chain)
    assert (state.step, state.ledger_spent, state.ledger_head) == (3, 3, ledger.head)
    fresh = make_model()
    fresh.load_state_dict(state.tensors)
    again = make_optimizer(name, fresh)
    again.load_state_dict(state.optimizer_state)
    assert again.state_dict()["param_groups"] == optimizer.state_dict()["param_groups"]
    for step in range(3, 6):
        take_step(model, optimizer, step)
        take_step(fresh, again, step)
    for (key, value), other in zip(model.named_parameters(), fresh.parameters(), strict=True):
        assert torch.equal(value, other), key
    assert not torch.equal(next(iter(make_model().parameters())), next(iter(fresh.parameters())))


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.float64])
def test_tensors_keep_their_bits_and_kind(tmp_path: Path, kind: torch.dtype) -> None:
    with Ledger.create(tmp_path / "ledger.jsonl", make_header()) as ledger:
        ledger.spend(0)
        values = {"a.b": torch.randn(4, 6).t().to(kind), "empty": torch.zeros(0, 3), "count": torch.tensor(7)}
        values["shared"] = values["count"]
        extra: dict[str, Any] = {"norm": 0.1 + 0.2, "seen": 3, "unit": "record", "losses": [1.5, float("nan"), 2]}
        save_state(
            tmp_path,
            1,
            tensors=values,
            optimizer_state={},
            extra=extra,
            ledger_head=ledger.head,
            ledger_spent=ledger.spent,
        )
    state = loaded(tmp_path, ledger.chain)
    assert state.tensors.keys() == values.keys()
    assert all(torch.equal(state.tensors[name], value) for name, value in values.items())
    assert state.tensors["a.b"].dtype == kind
    assert state.optimizer_state == {}
    assert repr(state.extra) == repr(extra)


def test_loaded_tensors_are_not_those_on_disk(tmp_path: Path) -> None:
    with Ledger.create(tmp_path / "ledger.jsonl", make_header()) as ledger:
        model = make_model()
        save(tmp_path, ledger, model, make_optimizer("sgd", model))
    before = (tmp_path / STATE_NAME).read_bytes()
    for value in loaded(tmp_path, ledger.chain).tensors.values():
        value.fill_(9)
    assert (tmp_path / STATE_NAME).read_bytes() == before


def test_nested_states_come_back_as_they_were() -> None:
    value = {
        "state": {0: {"step": torch.tensor(3.0)}, 1: {}},
        "groups": [{"betas": (0.9, 0.99), "p": [0, 1]}],
        "": None,
    }
    tensors: dict[str, torch.Tensor] = {}
    flat = flatten(value, "optimizer", tensors)
    assert list(tensors) == ["optimizer/state/0/step"]
    assert repr(unflatten(flat, tensors)) == repr(value)


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ({"group": {"hook": print}}, "optimizer/group/hook is a builtin_function_or_method"),
        ({"group": [{1.5: 2}]}, "optimizer/group/0 has a key of type float"),
    ],
)
def test_what_only_pickle_could_hold_is_refused(value: Any, sentence: str) -> None:
    with pytest.raises(AuditError, match=sentence):
        flatten(value, "optimizer", {})


def saved_run(folder: Path, spent: int = 4, saved: int = 3, **fields: Any) -> bytes:
    """A ledger of `spent` steps in `folder` and a state from after `saved` of them; returns the ledger's content."""
    model = make_model()
    with Ledger.create(folder / "ledger.jsonl", make_header(**fields)) as ledger:
        for step in range(spent):
            if step == saved:
                save(folder, ledger, model, make_optimizer("sgd", model))
            ledger.spend(step)
        if saved == spent:
            save(folder, ledger, model, make_optimizer("sgd", model))
    return (folder / "ledger.jsonl").read_bytes()


def test_steps_lost_in_a_crash_stay_spent(tmp_path: Path) -> None:
    saved_run(tmp_path, spent=4, saved=2)
    with Ledger.open(tmp_path / "ledger.jsonl") as ledger:
        state = loaded(tmp_path, ledger.chain)
        assert (state.step, ledger.spent) == (2, 4)
        for step in range(ledger.spent, 20):
            ledger.spend(step)
        with pytest.raises(LedgerError, match="all 20 steps planned are spent"):
            ledger.spend(20)


def test_a_ledger_cut_short_is_found(tmp_path: Path) -> None:
    lines = saved_run(tmp_path).splitlines(keepends=True)
    for kept in range(1, 4):
        (tmp_path / "ledger.jsonl").write_bytes(b"".join(lines[:kept]))
        with Ledger.open(tmp_path / "ledger.jsonl") as ledger:
            with pytest.raises(LedgerError, match=f"saved after 3 noisy steps, but .* holds {kept - 1}: lines"):
                load_state(tmp_path, ledger.chain)
            assert ledger.spent == kept - 1


def test_a_torn_line_is_enough_for_the_state(tmp_path: Path) -> None:
    lines = saved_run(tmp_path).splitlines(keepends=True)
    (tmp_path / "ledger.jsonl").write_bytes(b"".join(lines[:3]) + lines[3][:20])
    assert loaded(tmp_path, read_chain(tmp_path / "ledger.jsonl")).step == 3


def test_a_state_of_another_ledger_is_found(tmp_path: Path) -> None:
    saved_run(tmp_path)
    other = tmp_path / "other"
    saved_run(other, run="77aa")
    with pytest.raises(LedgerError, match=r"state.safetensors: belongs to another privacy ledger"):
        load_state(tmp_path, read_chain(other / "ledger.jsonl"))


def test_a_ledger_started_anew_is_found(tmp_path: Path) -> None:
    """The budget of the run before would be forgotten."""
    saved_run(tmp_path)
    (tmp_path / "ledger.jsonl").unlink()
    Ledger.create(tmp_path / "ledger.jsonl", make_header(run="77aa")).close()
    with pytest.raises(LedgerError, match="belongs to another privacy ledger"):
        load_state(tmp_path, read_chain(tmp_path / "ledger.jsonl"))


def test_a_step_that_was_not_spent_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(AuditError, match="2 steps were taken but 1 are in the ledger"):
        save_state(tmp_path, 2, tensors={}, optimizer_state={}, extra={}, ledger_head="", ledger_spent=1)


def test_no_state_is_none(tmp_path: Path) -> None:
    with Ledger.create(tmp_path / "ledger.jsonl", make_header()) as ledger:
        assert load_state(tmp_path, ledger.chain) is None


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 5)


def garble(path: Path) -> None:
    path.write_bytes(b"\x80\x04" + path.read_bytes())


def weights_only(path: Path) -> None:
    save_file({"a": torch.zeros(2)}, path)


@pytest.mark.parametrize("harm", [cut, garble, weights_only])
def test_a_damaged_state_is_named(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    saved_run(tmp_path)
    harm(tmp_path / STATE_NAME)
    with pytest.raises(LedgerError, match=r"state.safetensors: no saved state of a private run, or a damaged one"):
        load_state(tmp_path, read_chain(tmp_path / "ledger.jsonl"))


@pytest.mark.parametrize(
    "change",
    [
        {"optimizer": {"tensor": "nowhere"}},
        {"optimizer": {"tensor": 1, "items": []}},
        {"optimizer": {"items": 3}},
        {"step": "3"},
        {"step": 2.5},
        {"ledger_spent": True},
        {"extra": [1]},
        {"more": 1},
    ],
)
def test_what_is_said_of_a_state_is_what_it_should_be(tmp_path: Path, change: dict[str, Any]) -> None:
    saved_run(tmp_path)
    with safe_open(tmp_path / STATE_NAME, framework="pt") as file:
        said = json.loads(file.metadata()["state"])
        tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118  # no mapping
    save_file(tensors, tmp_path / STATE_NAME, {"state": json.dumps({**said, **change})})
    with pytest.raises(LedgerError, match=r"state.safetensors: no saved state of a private run, or a damaged one"):
        load_state(tmp_path, read_chain(tmp_path / "ledger.jsonl"))


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_one_bit_changed_since_is_found_and_older_states_have_no_digest(tmp_path: Path, kind: torch.dtype) -> None:
    with Ledger.create(tmp_path / "ledger.jsonl", make_header()) as ledger:
        values = {"w": torch.ones(2, 3, dtype=kind), "empty": torch.zeros(0, 3)}
        save_state(tmp_path, 0, tensors=values, optimizer_state={}, extra={}, ledger_head=ledger.head, ledger_spent=0)
    path = tmp_path / STATE_NAME
    content = path.read_bytes()
    for place in (len(content) - 1, content.index(b"extra") + 1):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(LedgerError, match=r"was changed since it was saved|a damaged one"):
            load_state(tmp_path, ledger.chain)
    path.write_bytes(content)
    with safe_open(path, framework="pt") as file:
        said = file.metadata()["state"]
    save_file({"parameters/w": torch.zeros(2, 3)}, path, {"state": said})
    assert loaded(tmp_path, ledger.chain).tensors["w"].sum() == 0


class KilledError(BaseException):
    """Stops a save the way kill -9 does: nothing gets to clean up."""


def put(folder: Path, ledger: Ledger, number: int) -> None:
    tensors = {f"layer{place}": torch.full((64,), float(number)) for place in range(4)}
    save_state(
        folder,
        0,
        tensors=tensors,
        optimizer_state={"state": {0: {"exp_avg": torch.full((64,), float(number))}}},
        extra={"number": number},
        ledger_head=ledger.head,
        ledger_spent=ledger.spent,
    )


def whole_number(state: SavedState | None) -> int:
    """The number of a state whose parts are all of one save."""
    assert state is not None
    parts = [*state.tensors.values(), state.optimizer_state["state"][0]["exp_avg"]]
    number = state.extra["number"]
    assert isinstance(number, int)
    assert len(parts) == 5
    assert all(torch.equal(part, torch.full((64,), float(number))) for part in parts)
    return number


@pytest.mark.parametrize("call", range(4))
def test_a_save_stopped_at_any_call_leaves_a_whole_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    """Calls of a save that touch the disk: file flushed, renamed, folder flushed."""
    with Ledger.create(tmp_path / "ledger.jsonl", make_header()) as ledger:
        put(tmp_path, ledger, 1)
        calls: list[str] = []

        def stopping(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
            def run(*args: Any, **kwargs: Any) -> Any:
                if len(calls) == call:
                    raise KilledError
                calls.append(name)
                return real(*args, **kwargs)

            return run

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", stopping("flush", os.fsync))
            patch.setattr(Path, "replace", stopping("rename", Path.replace))
            if call < 3:
                with pytest.raises(KilledError):
                    put(tmp_path, ledger, 2)
            else:
                put(tmp_path, ledger, 2)
        assert calls == ["flush", "rename", "flush"][:call]
        assert whole_number(load_state(tmp_path, ledger.chain)) == (1 if call < 2 else 2)
        (tmp_path / f".{STATE_NAME}.1.tmp").write_bytes(b"left by a process that was killed")
        put(tmp_path, ledger, 3)
        assert whole_number(load_state(tmp_path, ledger.chain)) == 3
        assert sorted(path.name for path in tmp_path.iterdir()) == ["ledger.jsonl", "ledger.jsonl.lock", STATE_NAME]


SAVING = """
import sys
from pathlib import Path
from privacy.ledger import Ledger
from tests.privacy.ledger_cases import make_header
from tests.privacy.ledger.test_state import put

folder = Path(sys.argv[1])
path = folder / "ledger.jsonl"
ledger = Ledger.open(path) if path.exists() else Ledger.create(path, make_header())
for number in range(int(sys.argv[2]), 10**9):
    put(folder, ledger, number)
    print(number, flush=True)
"""


def test_kill_9_while_saving_leaves_a_whole_state(tmp_path: Path) -> None:
    rng = random.Random(0)
    number = 0
    for _ in range(3):
        command = [sys.executable, "-c", SAVING, str(tmp_path), str(number + 1)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            said = [int(process.stdout.readline()) for _ in range(rng.randint(1, 20))]
            time.sleep(rng.random() / 100)  # into the middle of a save
            process.kill()
            said += [int(line) for line in process.stdout.read().splitlines()]
        assert said[0] == number + 1
        number = whole_number(load_state(tmp_path, read_chain(tmp_path / "ledger.jsonl")))
        assert number in (said[-1], said[-1] + 1)
