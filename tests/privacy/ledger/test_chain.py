"""What is spent stays spent: appending, edits, torn lines, failing disks, two processes, kill -9."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from harness.errors import AuditError
from privacy.ledger import Ledger, LedgerError, read_chain
from privacy.ledger.chain import step_line
from tests.privacy.ledger_cases import make_header


def spent_ledger(folder: Path, **fields: Any) -> Path:
    """Five steps, or all that are planned."""
    path = folder / "ledger.jsonl"
    with Ledger.create(path, make_header(**fields)) as ledger:
        for step in range(min(5, ledger.header.steps)):
            ledger.spend(step)
    return path


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return spent_ledger(tmp_path_factory.mktemp("untouched")).read_bytes()


def test_a_ledger_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "ledger.jsonl"
    with Ledger.create(path, make_header()) as ledger:
        assert (ledger.spent, ledger.header) == (0, make_header())
        for step in range(3):
            ledger.spend(step)
            assert read_chain(path) == ledger.chain  # on disk as soon as it is spent
    with Ledger.open(path) as again:
        assert (again.spent, again.head, again.header) == (3, ledger.head, make_header())
        again.spend(3)
    assert read_chain(path).spent == 4


def test_every_line_holds_its_hash_and_that_of_the_line_before(untouched: bytes) -> None:
    """By the description of the format alone."""
    previous = "0" * 64
    for number, line in enumerate(untouched.decode().splitlines()):
        entry = json.loads(line)
        digest = entry.pop("hash")
        assert entry["previous"] == previous
        assert hashlib.sha256(json.dumps(entry).encode()).hexdigest() == digest
        assert entry.get("step", -1) == number - 1
        previous = digest


def test_the_head_of_any_step_is_known(tmp_path: Path) -> None:
    with Ledger.create(tmp_path / "ledger.jsonl", make_header()) as ledger:
        heads = [ledger.head]
        for step in range(4):
            ledger.spend(step)
            heads.append(ledger.head)
    chain = read_chain(ledger.path)
    assert [chain.head_after(spent) for spent in range(5)] == heads
    assert len(set(heads)) == 5


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_changed_byte_is_found(
    untouched: bytes, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(untouched) - 2))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != untouched[place]))
    path = tmp_path_factory.getbasetemp() / "changed.jsonl"
    path.write_bytes(untouched[:place] + bytes([byte]) + untouched[place + 1 :])
    line = untouched[:place].count(b"\n") + 1
    with pytest.raises(LedgerError) as found:
        Ledger.open(path)
    assert f"{path}: line {line} was changed after it was written; the privacy budget spent" in str(found.value)
    assert "start a new run in another folder and count what this one spent in full" in str(found.value)


@pytest.mark.parametrize("byte", [b"x", b" ", b"\r", b"}"])
def test_a_changed_last_newline_is_found(untouched: bytes, tmp_path: Path, byte: bytes) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(untouched[:-1] + byte)
    with pytest.raises(LedgerError, match=r"line [67] was changed"):
        Ledger.open(path)


@pytest.mark.parametrize("line", range(5))
def test_a_removed_line_is_found(untouched: bytes, tmp_path: Path, line: int) -> None:
    lines = untouched.splitlines(keepends=True)
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(b"".join(lines[:line] + lines[line + 1 :]))
    with pytest.raises(LedgerError, match=f"line {line + 1} was changed"):
        read_chain(path)


@pytest.mark.parametrize(("one", "other"), [(0, 1), (1, 2), (2, 5), (4, 5)])
def test_swapped_lines_are_found(untouched: bytes, tmp_path: Path, one: int, other: int) -> None:
    lines = untouched.splitlines(keepends=True)
    lines[one], lines[other] = lines[other], lines[one]
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(b"".join(lines))
    with pytest.raises(LedgerError, match=f"line {one + 1} was changed"):
        read_chain(path)


def test_lines_of_another_run_are_found(untouched: bytes, tmp_path: Path) -> None:
    other = spent_ledger(tmp_path, run="77aa").read_bytes().splitlines(keepends=True)
    path = tmp_path / "mixed.jsonl"
    path.write_bytes(b"".join(untouched.splitlines(keepends=True)[:3] + other[3:]))
    with pytest.raises(LedgerError, match="line 4 was changed"):
        read_chain(path)


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"{}\n", b"[]\n", b'{"header": {}}\n', b"\xff\n", b"[" * 10_000 + b"\n"]
)
def test_what_is_no_ledger_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(content)
    with pytest.raises(LedgerError, match="line 1 was changed"):
        read_chain(path)


def test_a_header_that_only_looks_the_same_is_refused(untouched: bytes, tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(untouched.replace(b'"records": 1000', b'"records": "1000"', 1))
    with pytest.raises(LedgerError, match="line 1 was changed"):
        read_chain(path)


@pytest.mark.parametrize("zeros", [0, 7])
def test_a_torn_line_counts_as_spent(untouched: bytes, tmp_path: Path, zeros: int) -> None:
    head = read_chain_of(untouched, tmp_path).head
    next_line = step_line(5, head)[0]
    path = tmp_path / "ledger.jsonl"
    for cut in (*range(1, len(next_line) - 1, 9), len(next_line) - 1):
        path.write_bytes(untouched + next_line[:cut] + b"\0" * zeros)
        assert read_chain(path).spent == 6
        with Ledger.open(path) as ledger:
            assert ledger.spent == 6
            ledger.spend(6)
        whole = read_chain(path)
        assert (whole.spent, whole.missing) == (7, b"")
        assert path.read_bytes() == untouched + next_line + step_line(6, ledger.chain.head_after(6))[0]


def read_chain_of(content: bytes, folder: Path) -> Any:
    path = folder / "copy.jsonl"
    path.write_bytes(content)
    return read_chain(path)


def test_repairing_needs_no_luck(untouched: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed at any moment of the repair, the step still counts."""
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(untouched + b'{"st' + b"\0" * 3)

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    for call in ("truncate", "write", "fsync"):
        with monkeypatch.context() as patch:
            patch.setattr(os, call, killed)
            with pytest.raises(KeyboardInterrupt):
                Ledger.open(path)
        assert read_chain(path).spent == 6
    with Ledger.open(path) as ledger:
        assert ledger.spent == 6


def test_steps_are_spent_one_after_the_other(tmp_path: Path) -> None:
    with Ledger.create(tmp_path / "ledger.jsonl", make_header(steps=2)) as ledger:
        for wrong in (1, -1):
            with pytest.raises(LedgerError, match=f"step {wrong} cannot be spent, the next one is 0"):
                ledger.spend(wrong)
        ledger.spend(0)
        with pytest.raises(LedgerError, match="step 0 cannot be spent, the next one is 1"):
            ledger.spend(0)
        ledger.spend(1)
        with pytest.raises(LedgerError, match="all 2 steps planned are spent; one more would break the claim"):
            ledger.spend(2)
        assert read_chain(ledger.path).spent == 2


def test_more_steps_than_planned_are_found(untouched: bytes, tmp_path: Path) -> None:
    path = spent_ledger(tmp_path, steps=2)
    path.write_bytes(path.read_bytes() + step_line(2, read_chain(path).head)[0])
    with pytest.raises(LedgerError, match="3 steps are recorded but 2 were planned"):
        Ledger.open(path)


def test_a_step_is_on_disk_before_its_noise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    real = os.fsync

    def sync(handle: int) -> None:
        real(handle)
        synced.append(os.fstat(handle).st_size)

    with Ledger.create(tmp_path / "ledger.jsonl", make_header()) as ledger:
        monkeypatch.setattr(os, "fsync", sync)
        for step in range(3):
            ledger.spend(step)
            assert synced[-1] == ledger.path.stat().st_size
    assert len(synced) == 3


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_step_that_cannot_be_recorded_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    ledger = Ledger.create(tmp_path / "ledger.jsonl", make_header())
    ledger.spend(0)

    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(AuditError, match=r"step 1 could not be recorded \(No space left on device\)"):
            ledger.spend(1)
    with pytest.raises(LedgerError, match="closed in this process"):
        ledger.spend(1)
    with Ledger.open(ledger.path) as again:
        assert again.spent == 1, "what was not taken is not spent"


def test_a_write_in_pieces_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda handle, content: real(handle, bytes(content[:10])))
    assert read_chain(spent_ledger(tmp_path)).spent == 5


def shorten(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def put_anew(path: Path) -> None:
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content)


@pytest.mark.parametrize("harm", [Path.unlink, shorten, put_anew])
def test_a_ledger_touched_while_training_stops_it(tmp_path: Path, harm: Any) -> None:
    with Ledger.create(tmp_path / "ledger.jsonl", make_header()) as ledger:
        ledger.spend(0)
        harm(ledger.path)
        with pytest.raises(LedgerError, match="changed or deleted while training"):
            ledger.spend(1)


def test_no_ledger_is_written_over(tmp_path: Path) -> None:
    path = spent_ledger(tmp_path)
    before = path.read_bytes()
    with pytest.raises(LedgerError, match="a privacy ledger is there; resume its run"):
        Ledger.create(path, make_header())
    assert path.read_bytes() == before
    Ledger.open(path).close()  # and it is not left locked


def test_a_missing_ledger_is_named(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match=r"ledger.jsonl: there is no privacy ledger"):
        Ledger.open(tmp_path / "ledger.jsonl")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wrong", [{"rate": 0.0}, {"noise_multiplier": float("inf")}, {"delta": 1.0}, {"colour": 1}])
def test_a_header_says_what_is_needed(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        make_header(**wrong)


SPENDING = """
import sys
from pathlib import Path
from privacy.ledger import Ledger
from tests.privacy.ledger_cases import make_header

path = Path(sys.argv[1])
ledger = Ledger.open(path) if path.exists() else Ledger.create(path, make_header(steps=10**6))
print("open", flush=True)
while True:
    step = ledger.spent
    ledger.spend(step)
    print(step, flush=True)  # its noise is used now
"""


@pytest.fixture
def spending(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    process, path = start_spending(tmp_path)
    yield process, path
    process.kill()
    process.wait()


def start_spending(folder: Path) -> tuple[subprocess.Popen[str], Path]:
    path = folder / "ledger.jsonl"
    process = subprocess.Popen([sys.executable, "-c", SPENDING, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    return process, path


def test_kill_9_forgets_no_step(tmp_path: Path) -> None:
    rng = random.Random(0)
    spent = 0
    for _ in range(3):
        process, path = start_spending(tmp_path)
        assert process.stdout is not None
        used = [int(process.stdout.readline()) for _ in range(rng.randint(1, 60))]
        process.send_signal(signal.SIGKILL)
        used += [int(line) for line in process.stdout.read().splitlines()]
        process.wait()
        assert used == list(range(spent, spent + len(used))), "no step is taken twice"
        chain = read_chain(path)
        assert spent + len(used) <= chain.spent <= spent + len(used) + 1
        spent = chain.spent


def test_two_processes_cannot_spend_on_one_ledger(spending: tuple[subprocess.Popen[str], Path]) -> None:
    process, path = spending
    with pytest.raises(LedgerError, match=rf"ledger.jsonl: in use by process {process.pid} on .*; wait for it to end"):
        Ledger.open(path)
    with pytest.raises(LedgerError, match=f"in use by process {process.pid}"):
        Ledger.create(path, make_header())
    read_chain(path)  # looking is allowed
    process.kill()
    process.wait()
    with Ledger.open(path) as ledger:
        ledger.spend(ledger.spent)


def test_one_process_cannot_open_a_ledger_twice(tmp_path: Path) -> None:
    with Ledger.open(spent_ledger(tmp_path)) as ledger, pytest.raises(LedgerError, match=f"process {os.getpid()} on"):
        Ledger.open(ledger.path)
    Ledger.open(ledger.path).close()


def _spend_in_child(ledger: Ledger, said: Any) -> None:
    try:
        ledger.spend(ledger.spent)
        said.send("spent")
    except LedgerError as error:
        said.send(str(error))
    said.recv()


def test_a_forked_child_neither_spends_nor_keeps_the_lock(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    ledger = Ledger.create(tmp_path / "ledger.jsonl", make_header())
    child = context.Process(target=_spend_in_child, args=(ledger, there))
    child.start()
    try:
        assert "closed in this process" in here.recv()
        with pytest.raises(LedgerError, match="in use by process"):
            Ledger.open(ledger.path)  # the parent still has it
        ledger.spend(0)
        ledger.close()
        Ledger.open(ledger.path).close()  # though the child lives
    finally:
        here.send("done")
        child.join()
