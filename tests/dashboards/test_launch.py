from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dashboards import launch as module
from dashboards.launch import APP, command, environment, launch
from dashboards.settings import Settings, read_settings


def test_the_server_is_private_quiet_and_local() -> None:
    words = command(8599, "127.0.0.1")
    assert words[:5] == [sys.executable, "-P", "-m", "streamlit", "run"]
    assert Path(words[5]) == APP
    options = dict(zip(words[6::2], words[7::2], strict=True))
    assert options["--server.port"] == "8599"
    assert options["--server.address"] == "127.0.0.1"
    assert options["--server.headless"] == "true"
    assert options["--browser.gatherUsageStats"] == "false"


def test_settings_travel_through_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for uri in ("http://mlflow.example", None):
        for key, value in environment(Path("out"), uri).items():
            monkeypatch.setenv(key, value)
        assert read_settings() == Settings(tmp_path / "out", uri)


@pytest.mark.parametrize("status", [0, 3])
def test_launch_returns_the_status_of_the_server(status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = f"import os, sys; sys.exit({status} if os.environ['ASSAY_OUTPUT'] == {str(tmp_path)!r} else 99)"
    monkeypatch.setattr(module, "command", lambda *_: [sys.executable, "-c", code])
    before = signal.getsignal(signal.SIGTERM)
    assert launch(tmp_path, None, 8599) == status
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_terminated_launcher_takes_the_server_along(tmp_path: Path) -> None:
    script = f"""
import sys
from pathlib import Path
from dashboards import launch as module
server = "import os, sys, time; print(os.getpid(), flush=True); time.sleep(60)"
module.command = lambda *_: [sys.executable, "-c", server]
sys.exit(module.launch(Path({str(tmp_path)!r}), None, 8599))
"""
    launcher = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert launcher.stdout is not None
    server = int(launcher.stdout.readline())
    launcher.terminate()
    launcher.wait(timeout=30)
    with pytest.raises(ProcessLookupError):
        os.kill(server, 0)
