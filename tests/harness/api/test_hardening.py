"""How the command line finds what hardens, and what it says where there is nothing."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.api.hardening import HARDEN, find_hardening
from harness.cli import main
from harness.errors import UsageError

HALF = SimpleNamespace(harden=print)
"""A plug-in that hardens, and cannot tell a good spec from a bad one."""


def test_the_installed_plug_in_is_found() -> None:
    assert callable(find_hardening().harden)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("nowhere.module:plugin", "ModuleNotFoundError"),
        ("harness.errors:UsageError", r"has no harden\(\)"),
        ("tests.harness.api.test_hardening:HALF", r"has no check\(\)"),
    ],
)
def test_a_broken_plug_in_is_named(value: str, why: str) -> None:
    with pytest.raises(UsageError, match=rf"^no installed suite hardens checkpoints \(mine = {value}.*{why}"):
        find_hardening([EntryPoint("mine", value, HARDEN)])


def test_a_broken_plug_in_does_not_hide_another() -> None:
    good = EntryPoint("b", "suites.adversarial.harden.plugin:plugin", HARDEN)
    assert find_hardening([EntryPoint("a", "nowhere:plugin", HARDEN), good]) is good.load()


def test_without_a_plug_in_the_command_says_so() -> None:
    with pytest.raises(UsageError, match="no installed suite hardens checkpoints; reinstall assay"):
        find_hardening([])


def test_a_spec_that_cannot_be_read_is_one_sentence_and_exit_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["assay", "harden", str(tmp_path / "nowhere.yaml")])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert "nowhere.yaml: no such file" in said
    assert len(said.strip().splitlines()) == 1


def test_finding_it_loads_no_model_library() -> None:
    code = (
        "import sys; from harness.api.hardening import find_hardening; find_hardening();"
        "heavy = {'torch', 'transformers', 'textattack', 'flair'} & set(sys.modules);"
        "sys.exit(f'loaded: {sorted(heavy)}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
