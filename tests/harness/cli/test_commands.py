"""Commands that others bring: found by entry point, loaded only when they are wanted, and named where they break."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import pytest

from harness.api.commands import COMMANDS, OUTBOXES, SPECS, Command
from harness.cli import commands, main

OWN = {"budget", "campaign", "curve", "dashboard", "data", "frontier", "harden", "publish", "scrub", "train"}


def hello() -> None:
    """Say hello."""
    sys.stdout.write("hello\n")


command = Command(hello, "assay hello")


@pytest.fixture(autouse=True)
def read_again() -> Iterator[None]:
    """What one test installs is gone for the next."""
    yield
    commands._points.cache_clear()


def call(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """Exit code of `assay`."""
    monkeypatch.setattr(sys, "argv", ["assay", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def bring(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    """Install commands for one test, beside those that are there."""
    there = list(entry_points(group=COMMANDS))
    points = [*there, *(EntryPoint(name, value, COMMANDS) for name, value in values.items())]
    monkeypatch.setattr(commands, "entry_points", lambda group: points if group == COMMANDS else [])
    commands._points.cache_clear()


def test_what_this_package_brings_is_found() -> None:
    assert {point.name for point in entry_points(group=COMMANDS)} >= OWN
    assert {point.name for point in entry_points(group=SPECS)} >= {"train", "harden"}
    assert {point.name for point in entry_points(group=OUTBOXES)} >= {"trainings"}


def test_a_command_of_another_package_runs_and_is_listed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bring(monkeypatch, hello="tests.harness.cli.test_commands:command")
    assert call(monkeypatch, "hello") == 0
    assert capsys.readouterr().out == "hello\n"
    assert call(monkeypatch, "hello", "--help") == 0
    assert "assay hello" in capsys.readouterr().out
    assert call(monkeypatch, "--help") == 0
    assert "Say hello." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("value", "why"),
    [("nowhere.module:command", "ModuleNotFoundError"), ("harness.errors:UsageError", "is no harness.api.commands")],
)
def test_a_broken_command_says_why_and_costs_no_other(
    value: str, why: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bring(monkeypatch, hello=value)
    assert call(monkeypatch, "hello") == 2
    said = capsys.readouterr().err
    assert "the command 'hello' could not be loaded" in said
    assert why in said
    assert call(monkeypatch, "--help") == 0
    assert "Could not be loaded." in capsys.readouterr().out
    assert call(monkeypatch, "version") == 0


def test_another_package_cannot_take_the_name_of_a_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bring(monkeypatch, version="tests.harness.cli.test_commands:command", train="a_first:command")
    assert call(monkeypatch, "version") == 0
    assert "hello" not in capsys.readouterr().out
    assert call(monkeypatch, "train", "--help") == 0
    assert "Fine-tune a checkpoint" in capsys.readouterr().out


def test_a_command_that_is_not_wanted_is_not_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    bring(monkeypatch, bomb="tests.harness.cli.exploding:command")
    exploding = Path(__file__).with_name("exploding.py")
    assert not exploding.exists()
    monkeypatch.setattr(commands, "installed", lambda *_, **__: pytest.fail("loaded"))
    assert call(monkeypatch, "version") == 0


def test_a_misspelt_command_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "trian") == 2
    assert "No such command 'trian'" in capsys.readouterr().err


def test_a_spec_that_cannot_be_read_is_one_sentence_and_exit_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "harden", str(tmp_path / "nowhere.yaml")) == 2
    said = capsys.readouterr().err
    assert "nowhere.yaml: no such file" in said
    assert len(said.strip().splitlines()) == 1


def test_listing_all_commands_loads_no_model_library() -> None:
    code = (
        "import sys; from harness.cli import app\n"
        "try: app(['--help'], standalone_mode=False)\n"
        "finally: heavy = {'torch', 'transformers', 'textattack', 'mlflow', 'streamlit', 'pandas'} & set(sys.modules)\n"
        "sys.exit(f'loaded: {sorted(heavy)}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in OWN)
