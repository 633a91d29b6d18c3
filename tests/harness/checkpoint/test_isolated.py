"""The process that parses a checkpoint first can reach nothing, and however it ends there is one sentence."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from harness.api.staging import PrivateFolder
from harness.checkpoint import CheckpointSource, inspect_checkpoint
from harness.checkpoint.isolated import client
from harness.errors import CheckpointError, UsageError
from tests.tiny import make_checkpoint

linux = pytest.mark.skipif(sys.platform != "linux", reason="confinement is built for Linux")

ATTEMPTS = """
import ctypes, json, os, socket, subprocess, sys
from pathlib import Path
from harness.checkpoint.isolated.confine import confine
readable, secret = Path(sys.argv[1]), Path(sys.argv[2])
done, lacking = confine([readable], 2**30, 60)
def attempt(act):
    try:
        act()
    except (OSError, MemoryError) as error:
        return type(error).__name__
    return "done"
print(json.dumps({
    "measures": done, "lacking": lacking,
    "reads its folder": attempt(lambda: (readable / "file").read_bytes()),
    "reads elsewhere": attempt(lambda: secret.read_bytes()),
    "writes its folder": attempt(lambda: (readable / "new").write_text("x")),
    "writes elsewhere": attempt(lambda: Path("/tmp/assay-isolated-test").write_text("x")),
    "removes": attempt(lambda: (readable / "file").unlink()),
    "connects": attempt(lambda: socket.create_connection(("127.0.0.1", 9), timeout=1)),
    "opens a socket": attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)),
    "runs a program": attempt(lambda: subprocess.run(["true"])),
    "kills": attempt(lambda: os.kill(os.getppid(), 0)),
    "takes memory": attempt(lambda: bytearray(4 * 2**30)),
}))
"""


@pytest.fixture(scope="module")
def attempts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a confined process may still do."""
    readable, secret = tmp_path_factory.mktemp("readable"), tmp_path_factory.mktemp("secret") / "secret"
    (readable / "file").write_text("x")
    secret.write_text("secret")
    environment = client.environment()
    command = [sys.executable, "-P", "-c", ATTEMPTS, str(readable), str(secret)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, timeout=60)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@linux
@pytest.mark.parametrize(
    ("attempt", "measure"),
    [
        ("reads elsewhere", "files"),
        ("writes its folder", "limits"),
        ("writes elsewhere", "files"),
        ("removes", "files"),
        ("connects", "network"),
        ("opens a socket", "calls"),
        ("runs a program", "calls"),
        ("kills", "calls"),
        ("takes memory", "limits"),
    ],
)
def test_a_confined_process_cannot(attempts: dict[str, Any], attempt: str, measure: str) -> None:
    if measure not in attempts["measures"]:
        pytest.skip(f"this machine cannot do it ({'; '.join(attempts['lacking'])})")
    assert attempts[attempt] != "done"


@linux
def test_a_confined_process_reads_what_it_was_given(attempts: dict[str, Any]) -> None:
    assert attempts["reads its folder"] == "done"
    assert "limits" in attempts["measures"]


@linux
def test_processor_time_is_bounded() -> None:
    code = "from harness.checkpoint.isolated.confine import confine\nconfine([], 2**30, 1)\nwhile True: pass"
    done = subprocess.run([sys.executable, "-P", "-c", code], check=False, env=client.environment(), timeout=60)
    assert done.returncode in {-signal.SIGXCPU, -signal.SIGKILL}


def test_nothing_secret_is_in_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_PASSWORD", "LD_PRELOAD", "PYTHONSTARTUP"):
        monkeypatch.setenv(name, "secret")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["", ".", "relative", "/absolute"]))
    environment = client.environment()
    assert "secret" not in environment.values()
    assert all(Path(entry).is_absolute() for entry in environment["PYTHONPATH"].split(os.pathsep))
    assert environment["HF_HUB_OFFLINE"] == "1"


@linux
def test_a_server_that_died_is_replaced(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path, "bert", "base")
    source = CheckpointSource(source=str(folder))
    assert inspect_checkpoint(source).isolation.kind == "process"
    assert client._server is not None
    client._server.stop()
    assert inspect_checkpoint(source).isolation.kind == "process"


@linux
def test_threads_ask_one_after_the_other(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path, "bert", "base")
    found: list[str] = []

    def ask() -> None:
        found.append(inspect_checkpoint(CheckpointSource(source=str(folder))).isolation.kind)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["process"] * 3


def test_isolation_can_be_left_out_and_the_report_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(client.VARIABLE, "none")
    info = inspect_checkpoint(CheckpointSource(source=str(make_checkpoint(tmp_path, "bert", "base"))))
    assert info.isolation.sentence == "none (ASSAY_ISOLATION=none)"


def test_isolation_that_is_insisted_on_and_not_to_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_checkpoint(tmp_path, "bert", "base")
    monkeypatch.setattr(client, "_refused", lambda: "not built for here")
    assert inspect_checkpoint(CheckpointSource(source=str(folder))).isolation.kind == "none"
    monkeypatch.setenv(client.VARIABLE, "process")
    with pytest.raises(UsageError, match="ASSAY_ISOLATION=process: no isolation is to be had here"):
        inspect_checkpoint(CheckpointSource(source=str(folder)))


def test_a_misspelt_setting_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(client.VARIABLE, "off")
    with pytest.raises(UsageError, match="ASSAY_ISOLATION=off: must be 'process' or 'none'"):
        client.start()


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ({"timed_out": True}, "took more than 20 s of processor time"),
        ({"seconds": 21.0, "signal": 24}, "took more than 20 s of processor time"),
        ({"memory": True}, "GiB of memory"),
        ({"signal": 11}, r"ended \(signal 11\)"),
        ({"signal": 6}, r"ended \(signal 6\)"),
        ({}, r"ended \(without a word\)"),
        ({"error": None}, r"ended \(without a word\)"),
        ({"error": "x: refused"}, "x: refused"),
        ({"passed": "yes"}, r"ended \(without a word\)"),
    ],
)
def test_however_the_child_ends_there_is_a_sentence(answer: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    info = inspect_checkpoint(CheckpointSource(source=str(make_checkpoint(tmp_path, "bert", "base"))))
    assert info.staged is not None
    request = {"cpu_seconds": 20, "memory": 2**31}
    with pytest.raises(CheckpointError, match=sentence):
        client._judged(answer, request, info.staged)


def test_the_private_folder_is_private_and_goes_with_its_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path))
    folder = PrivateFolder()
    path = folder.path
    assert path.stat().st_mode & 0o777 == 0o700
    assert path.parent.stat().st_mode & 0o777 == 0o700
    child = os.fork()
    if child == 0:
        folder.close()  # a copy of the process does not own it
        os._exit(0)
    os.waitpid(child, 0)
    assert path.is_dir()
    del folder
    assert not path.exists()


def test_what_a_killed_process_left_is_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path))
    code = "import os\nfrom harness.api.staging import PrivateFolder\nfolder = PrivateFolder()\nos._exit(0)"
    subprocess.run(
        [sys.executable, "-P", "-c", code], check=True, env={**os.environ, **{"PYTHONPATH": str(Path.cwd())}}
    )
    (left,) = tmp_path.glob("staging/checkpoint-*")
    kept = PrivateFolder()
    assert not left.exists()
    assert kept.path.is_dir()
    assert PrivateFolder().path != kept.path
    assert kept.path.is_dir(), "one that is in use is left alone"


FORKED = """
import json, os, signal, sys, threading
from harness.checkpoint import CheckpointSource, inspect_checkpoint
from harness.checkpoint import tasks
from harness.checkpoint.isolated import client
if sys.argv[2] == "busy":
    threading.Thread(target=signal.pause, daemon=True).start()
kept = open(sys.argv[0])
def tell(request):
    found = {"environ": dict(os.environ), "files": sorted(map(int, os.listdir("/proc/self/fd"))), "folder": os.getcwd()}
    found |= {"path": sys.path, "session": os.getsid(0) != int(os.environ.get("NONE", "0")), "parent": os.getppid()}
    return {"error": json.dumps(found)}
tasks.run = tell
sys.path.insert(0, "")
try:
    inspect_checkpoint(CheckpointSource(source=sys.argv[1]))
except Exception as error:
    print(str(error))
else:
    print("{}")
print(json.dumps({"server": client._server._process, "session": os.getsid(0)}))
"""


def _told(tmp_path: Path, how: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the confined child of a fresh process sees of it; {} where it is no fork of that process."""
    folder = make_checkpoint(tmp_path, "bert", "base")
    script = tmp_path / "forked.py"
    script.write_text(FORKED)
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd()), "HF_TOKEN": "secret", "MLFLOW_TRACKING_TOKEN": "secret"}
    command = [sys.executable, "-P", str(script), str(folder), how]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True, timeout=120)
    child, parent = (json.loads(line) for line in done.stdout.splitlines()[-2:])
    return child, parent


@linux
def test_a_process_with_one_thread_forks_its_server_and_keeps_its_own_to_itself(tmp_path: Path) -> None:
    child, parent = _told(tmp_path, "alone")
    assert "secret" not in child["environ"].values()
    assert child["environ"]["HF_HUB_OFFLINE"] == "1"
    assert len(child["files"]) <= 5, "0, 1, 2, the answer's pipe, and the folder that is being listed"
    assert child["folder"] == "/"
    assert all(Path(entry).is_absolute() for entry in child["path"])
    assert child["parent"] == parent["server"]


@linux
def test_a_process_with_other_threads_starts_a_program_instead(tmp_path: Path) -> None:
    child, parent = _told(tmp_path, "busy")
    assert child == {}, "a program of its own imports the real tasks, and finds nothing wrong"
    assert parent["server"] > 0


@linux
def test_a_server_that_was_stopped_touches_no_file_that_has_its_number_now(tmp_path: Path) -> None:
    inspect_checkpoint(CheckpointSource(source=str(make_checkpoint(tmp_path, "bert", "base"))))
    server = client._server
    assert server is not None
    server.stop()
    with pytest.raises(OSError, match="was stopped"):
        server.ask({"task": "examine"}, 1)
