"""Modules that lie in the working folder are never imported; each payload leaves a mark."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from harness.base.surroundings import empty_working_folder, find_program, python_environment, shielded

ROOT = Path(__file__).parents[3]
NAMES = ("pip", "multiprocessing", "socket", "pickle", "selectors", "typer", "yaml", "torch", "pydantic", "streamlit")


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """A folder with modules of well-known names, each of which writes `ran` beside itself."""
    folder = tmp_path / "model"
    folder.mkdir()
    for name in NAMES:
        (folder / f"{name}.py").write_text(f"open({str(folder / 'ran')!r}, 'a').write({name!r} + '\\n')\n")
    (folder / "sitecustomize.py").write_text(f"open({str(folder / 'ran')!r}, 'a').write('sitecustomize\\n')\n")
    return folder


def run(words: list[str], folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run Python in `folder`; the code under test is importable by a path of the user's."""
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONSAFEPATH"}
    environment = {**kept, "PYTHONPATH": str(ROOT), **variables}
    return subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_relative_entries_of_the_path_are_left_out(tmp_path: Path) -> None:
    given = os.pathsep.join(("", ".", "lib", str(tmp_path)))
    made = python_environment({"PYTHONPATH": given, "OTHER": "x"})
    assert made == {"PYTHONPATH": str(tmp_path), "PYTHONSAFEPATH": "1", "OTHER": "x"}
    assert "PYTHONPATH" not in python_environment({"PYTHONPATH": os.pathsep})


def test_the_environment_is_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", f"lib{os.pathsep}")
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    with shielded():
        assert os.environ["PYTHONSAFEPATH"] == "1"
        assert "PYTHONPATH" not in os.environ
    assert os.environ["PYTHONPATH"] == f"lib{os.pathsep}"
    assert "PYTHONSAFEPATH" not in os.environ


def test_the_trap_works(trap: Path) -> None:
    run(["-m", "pip", "--version"], trap)
    assert "pip" in (trap / "ran").read_text()


@pytest.mark.parametrize(
    "words",
    [
        ["-m", "harness.cli", "--help"],
        ["-c", "import sys; sys.path.remove(''); from harness.cli import main; main()", "--help"],
    ],
)
def test_a_command_imports_nothing_from_the_working_folder(trap: Path, words: list[str]) -> None:
    done = run(words, trap)
    assert done.returncode == 0, done.stderr
    assert not (trap / "ran").exists()


def test_a_plug_in_declared_in_the_working_folder_is_none(trap: Path) -> None:
    folder = trap / "evil-1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: evil\nVersion: 1\n")
    (folder / "entry_points.txt").write_text("[assay.probes]\nevil.evil = evil:Evil\n")
    (trap / "evil.py").write_text(f"open({str(trap / 'ran')!r}, 'w')\n")
    done = run(["-m", "harness.cli", "probes"], trap)
    assert done.returncode == 0, done.stderr
    assert "evil" not in done.stdout + done.stderr
    assert not (trap / "ran").exists()


def test_what_a_command_starts_imports_nothing_from_the_working_folder(trap: Path) -> None:
    """As the script `assay` does: its own folder leads the path, and the variables are the user's."""
    script = trap.parent / "assay.py"
    start = "subprocess.run([sys.executable, '-c', 'import multiprocessing, pickle, yaml'], check=True)"
    script.write_text(f"import subprocess, sys\nfrom harness.cli.entry import main\nmain(lambda **_: {start})\n")
    for name in NAMES:  # the user's own modules, those beside the script, are not what is tried
        assert not (script.parent / f"{name}.py").exists()
    done = run([str(script)], trap, PYTHONPATH=str(ROOT))
    assert done.returncode == 0, done.stderr
    assert not (trap / "ran").exists()


def test_an_empty_entry_of_the_path_brings_in_nothing_later(trap: Path) -> None:
    """Python itself reads sitecustomize by such a path before any program begins; what comes after is ours."""
    script = trap.parent / "assay.py"
    script.write_text("from harness.base.surroundings import shield\nshield()\nimport yaml, pydantic\n")
    (trap / "sitecustomize.py").unlink()
    done = run([str(script)], trap, PYTHONPATH=f"{os.pathsep}{ROOT}")
    assert done.returncode == 0, done.stderr
    assert not (trap / "ran").exists()


def test_a_folder_named_in_full_by_the_user_stays(trap: Path) -> None:
    code = "import sys; from harness.base.surroundings import shield; shield(); import mine; print(mine.__name__)"
    (trap / "mine.py").write_text("")
    done = run(["-P", "-c", code], trap, PYTHONPATH=os.pathsep.join((str(ROOT), str(trap))))
    assert done.stdout == "mine\n", done.stderr


def test_worker_processes_import_nothing_from_the_working_folder(trap: Path) -> None:
    pytest.importorskip("greenlet")
    script = trap.parent / "start.py"
    script.write_text(
        "import os, sys\n"
        "from suites.adversarial.pooled.workers import Workers\n"
        "def make(count): return [None] * count\n"
        "def work(attack, job): return job\n"
        "if __name__ == '__main__':\n"
        "    workers = Workers(1, make, work, 1)\n"
        "    print([done.result for done in workers.run([(7, 0)], None)] if len(sys.argv) > 1 else '')\n"
        "    workers._workers[0].connection.poll(60)\n"
        "    workers.close()\n"
    )
    done = run([str(script)], trap)
    assert done.returncode == 0, done.stderr
    assert not (trap / "ran").exists()


def test_plotting_settings_beside_a_checkpoint_are_not_read(tmp_path: Path) -> None:
    if importlib.util.find_spec("textattack") is None or importlib.util.find_spec("flair") is None:
        pytest.skip("needs TextAttack and flair")
    os.mkfifo(tmp_path / "matplotlibrc")  # whoever opens it waits for ever
    code = "from suites.adversarial.resources.textattack_env import load_textattack; load_textattack(); import os; "
    done = run(["-P", "-c", code + "print(os.getcwd())"], tmp_path)
    assert done.stdout.splitlines()[-1:] == [str(tmp_path.resolve())], done.stderr


def test_the_working_folder_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").touch()
    with empty_working_folder():
        assert not list(Path().iterdir())
    with suppress(KeyError), empty_working_folder():
        raise KeyError
    assert Path("here").exists()


def test_a_program_in_the_working_folder_is_not_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "a-program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", os.pathsep.join(("", ".")))
    assert find_program("a-program") is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_program("a-program") == str(program)
