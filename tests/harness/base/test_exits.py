"""0, 1 and 3 are said after a verdict alone; whatever else ends a command has a code and a sentence of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
import typer

from harness.base.outcome import decided, verdict_due
from harness.base.plugins import PluginError, guarded, load
from harness.cli.entry import main
from harness.errors import Exit, UsageError


def code_of(entry: Callable[..., Any]) -> int:
    with pytest.raises(SystemExit) as caught:
        main(entry)
    assert isinstance(caught.value.code, int)
    return caught.value.code


def raising(error: BaseException, *, due: bool = False) -> Callable[..., Any]:
    def entry(**_: Any) -> None:
        if due:
            verdict_due()
        raise error

    return entry


class PanicException(BaseException):
    """As pyo3 raises it."""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SystemExit(0), Exit.FAILED),
        (SystemExit(1), Exit.FAILED),
        (SystemExit(None), Exit.FAILED),
        (SystemExit("Verdict: PASS"), Exit.FAILED),
        (typer.Exit(0), Exit.FAILED),
        (typer.Exit(1), Exit.FAILED),
        (typer.Exit(3), Exit.FAILED),
        (typer.Abort(), Exit.FAILED),
        (typer.BadParameter("no such option"), Exit.USAGE),
        (UsageError("no such file"), Exit.USAGE),
        (ZeroDivisionError("division by zero"), Exit.FAILED),
        (RecursionError(), Exit.FAILED),
        (MemoryError(), Exit.FAILED),
        (PanicException("index out of bounds"), Exit.FAILED),
        (GeneratorExit(), Exit.FAILED),
        (OSError(36, "File name too long", "x"), Exit.FAILED),
        (KeyboardInterrupt(), Exit.INTERRUPTED),
    ],
)
def test_a_command_that_decides_and_does_not_come_to_it(
    error: BaseException, code: Exit, capsys: pytest.CaptureFixture[str]
) -> None:
    assert code_of(raising(error, due=True)) == code
    shown = capsys.readouterr()
    assert "assay:" in shown.err or isinstance(error, typer.Exit | typer.BadParameter)


@pytest.mark.parametrize("code", [Exit.PASS, Exit.BLOCK, Exit.INCONCLUSIVE])
def test_a_verdict_gives_its_own_code_and_no_other(code: Exit) -> None:
    def entry(**_: Any) -> None:
        verdict_due()
        raise typer.Exit(decided(code))

    def another(**_: Any) -> None:
        verdict_due()
        decided(code)
        raise typer.Exit((code + 1) % 4 or 1)

    assert code_of(entry) == code
    assert code_of(another) in {Exit.USAGE, Exit.FAILED}


def test_commands_that_decide_nothing_end_with_success_or_failure() -> None:
    assert code_of(lambda **_: None) == Exit.PASS
    assert code_of(raising(typer.Exit(0))) == Exit.PASS
    assert code_of(raising(typer.Exit(1))) == Exit.FAILED
    assert code_of(raising(typer.Exit(3))) == Exit.FAILED


def test_a_fault_of_assays_own_is_a_sentence_with_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    code_of(raising(ZeroDivisionError("\x1b[2Jdivision")))
    shown = capsys.readouterr().err
    assert shown.startswith("assay: a fault of Assay's own, please report it: ZeroDivisionError: \\x1b[2Jdivision")
    assert "Traceback" in shown
    assert "\x1b" not in shown


PLUGINS = {
    "exits": ("import sys; sys.exit(0)", r"ended the process|called sys\.exit\(0\)"),
    "ends": ("import os; os._exit(0)", r"ended the process while it was imported \(status 0\)"),
    "crashes": ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", r"ended the process .*signal 11"),
    "raises": ("raise ValueError('no licence')", r"ValueError: no licence"),
    "panics": ("class Panic(BaseException): pass\nraise Panic('index')", r"Panic: index"),
    "hangs": ("import time; time.sleep(1000)", r"took more than 1 s to import"),
    "spins": ("while True:\n    try:\n        pass\n    except Exception: pass", r"took more than 1 s"),
}


@pytest.fixture
def of_another_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], EntryPoint]:
    """An entry point of an installed distribution called `stranger`, whose module holds a given code."""

    def make(name: str, code: str) -> EntryPoint:
        from importlib.metadata import distributions

        info = tmp_path / "stranger-1.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1\n")
        (info / "entry_points.txt").write_text(f"[assay.probes]\n{name} = stranger_{name}:probe\n")
        (tmp_path / f"stranger_{name}.py").write_text(f"{code}\nprobe = 'loaded'\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        (found,) = [each for each in distributions(path=[str(tmp_path)]) if each.name == "stranger"]
        (point,) = found.entry_points
        return point

    return make


@pytest.mark.parametrize("name", sorted(PLUGINS))
def test_a_plug_in_cannot_end_crash_or_stop_the_process(
    name: str, of_another_package: Callable[[str, str], EntryPoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.base.plugins.SECONDS", 1)
    code, sentence = PLUGINS[name]
    with pytest.raises(PluginError, match=sentence):
        load(of_another_package(name, code))


def test_a_sound_plug_in_is_loaded(of_another_package: Callable[[str, str], EntryPoint]) -> None:
    assert load(of_another_package("sound", "")) == "loaded"


def test_ctrl_c_passes_through_a_plug_in() -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        guarded(interrupted)


def test_a_plug_in_that_swallows_everything_still_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    def deaf() -> None:
        while True:
            with suppress(Exception):
                sys.getsizeof(1)

    with pytest.raises(PluginError, match="took more than 1 s"):
        guarded(deaf, limit=1)


def test_a_second_interrupt_while_the_first_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def again(_: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("harness.cli.entry.fail", again)
    assert code_of(raising(KeyboardInterrupt())) == Exit.INTERRUPTED


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_while_garbage_is_collected_is_heard_nevertheless(
    number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    """Python lets no exception out of `__del__`; libraries leave many objects that have one."""

    class Garbage:
        def __del__(self) -> None:
            os.kill(os.getpid(), number)

    def entry(standalone_mode: bool) -> int:
        made: list[Garbage] = [Garbage() for _ in range(3)]
        made.clear()
        time.sleep(60)
        return 0

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # tests run in the background ignore Ctrl-C
    try:
        with pytest.raises(SystemExit) as ended:
            main(entry)
    finally:
        signal.signal(signal.SIGINT, before)
    assert ended.value.code == Exit.INTERRUPTED
    assert "interrupted" in capsys.readouterr().err


def test_words_that_cannot_be_said_do_not_read_as_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: str) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("harness.cli.entry.fail", broken)
    assert code_of(raising(UsageError("no such file"))) == Exit.FAILED


@pytest.mark.parametrize(
    ("command", "streams", "code"),
    [
        ("show nowhere", "2>&-", Exit.USAGE),
        ("show nowhere", "2>/dev/full", Exit.USAGE),
        ("version", ">&-", Exit.PASS),
        ("version", ">&- 2>&-", Exit.PASS),
        ("version", ">/dev/full", Exit.FAILED),
        ("version", ">/dev/full 2>/dev/full", Exit.FAILED),
        ("version", "| false; exit ${PIPESTATUS[0]}", Exit.FAILED),
        ("train --help", "| false; exit ${PIPESTATUS[0]}", Exit.FAILED),
    ],
)
def test_streams_that_are_closed_or_full(tmp_path: Path, command: str, streams: str, code: Exit) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    line = f"{sys.executable} -m harness.cli {command} {streams}"
    where = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    run = subprocess.run(["bash", "-c", line], cwd=tmp_path, env=where, capture_output=True, text=True, check=False)
    assert run.returncode == code
    assert "Traceback" not in run.stdout + run.stderr
    assert "ended the program" not in run.stderr


def test_a_library_that_cannot_be_imported(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("raise AttributeError('built for another numpy')")
    where = {**os.environ, "PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[3]}"}
    command = [sys.executable, "-P", "-m", "harness.cli", "version"]
    run = subprocess.run(command, env=where, capture_output=True, text=True, check=False)
    assert run.returncode == Exit.FAILED
    assert "built for another numpy" in run.stderr
    assert "Traceback" not in run.stderr
