from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, nullcontext
from itertools import pairwise
from pathlib import Path

import pytest

from dashboards.server import launch as module
from dashboards.server.door import HOSTS
from dashboards.server.launch import APP, check_access, command, entrance, environment, launch
from dashboards.settings import Access, Settings, read_settings
from harness.errors import UsageError

ROOT = Path(__file__).parents[3]


def test_the_server_is_private_quiet_and_local() -> None:
    words = command(8599)
    assert words[:5] == [sys.executable, "-P", "-m", "dashboards.server.serve", "run"]
    assert Path(words[5]) == APP
    options = dict(zip(words[6::2], words[7::2], strict=True))
    assert options["--server.port"] == "8599"
    assert options["--server.address"] == "127.0.0.1"
    assert options["--server.headless"] == "true"
    assert options["--browser.gatherUsageStats"] == "false"
    assert options["--server.enableCORS"] == options["--server.enableXsrfProtection"] == "true"
    assert options["--server.enableAgentApi"] == options["--global.developmentMode"] == "false"
    assert options["--server.trustedUserHeaders"] == "{}"
    hosts = [after for word, after in pairwise(words) if word == "--server.allowedHosts"]
    assert hosts == ["localhost", "127.0.0.1", "::1"]


def test_settings_travel_through_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASSAY_CACHE", "cache")
    stores = {
        "http://mlflow.example": "http://mlflow.example",
        "sqlite:///audits/mlflow.db": f"sqlite:///{tmp_path / 'audits' / 'mlflow.db'}",
        "./mlruns": str(tmp_path / "mlruns"),
        None: None,
    }
    for given, shown in stores.items():
        for key, value in environment(Path("out"), given).items():
            monkeypatch.setenv(key, value)
        assert read_settings() == Settings(tmp_path / "out", shown, Access(), tmp_path)
        assert os.environ["ASSAY_CACHE"] == str(tmp_path / "cache")


def test_who_may_act_travels_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    access = Access("secret", Path("roles.yaml"), ("--allow-pickle", "--trust-manifest"))
    for key, value in environment(Path("out"), None, access).items():
        monkeypatch.setenv(key, value)
    assert read_settings().access == Access("secret", tmp_path / "roles.yaml", ("--allow-pickle", "--trust-manifest"))


AUTH = "redirect_uri = 'https://a.example/oauth2callback'\ncookie_secret = '0123456789abcdef0123456789abcdef'\n"
PROVIDER = "client_id = 'a'\nclient_secret = 'b'\nserver_metadata_url = 'https://id.example/openid'\n"


@pytest.mark.parametrize(
    ("access", "secrets", "hosts", "said"),
    [
        (Access(roles=Path("roles.yaml")), None, "", "--sign-in is missing"),
        (Access(), f"[auth]\n{AUTH}{PROVIDER}", "", "--roles is missing"),
        (Access("key", Path("roles.yaml")), f"[auth]\n{AUTH}{PROVIDER}", "", "the roles say who may start"),
        (Access("key"), None, "audits.example", "must sign in"),
        (Access(permissions=("--allow-pickle",)), None, "", "--allow-pickle: nobody may start"),
        (Access(roles=Path("roles.yaml")), "[auth", "", "no TOML"),
        (Access(roles=Path("roles.yaml")), "x = 1", "", "has no \\[auth\\]"),
        (Access(roles=Path("roles.yaml")), f"[auth]\n{PROVIDER}", "", "lacks redirect_uri"),
        (Access(roles=Path("roles.yaml")), f"[auth]\n{AUTH}", "", "lacks client_id"),
        (Access(roles=Path("roles.yaml")), f"[auth]\n{AUTH.replace('f', '')}{PROVIDER}", "", "fewer than 32"),
        (Access(roles=Path("wrong.yaml")), f"[auth]\n{AUTH}{PROVIDER}", "", "wrong.yaml: .*default"),
        (Access(roles=Path("none.yaml")), f"[auth]\n{AUTH}{PROVIDER}", "", "none.yaml"),
        (Access(), None, "", None),
        (Access("key"), None, "", None),
        (Access("key", permissions=("--allow-pickle",)), None, "", None),
        (Access(roles=Path("roles.yaml")), f"[auth]\n{AUTH}{PROVIDER}", "audits.example", None),
        (Access(roles=Path("roles.yaml")), f"[auth]\n{AUTH}[auth.google]\n{PROVIDER}", "", None),
    ],
)
def test_what_would_let_in_somebody_else_is_refused_before_anything_listens(
    access: Access, secrets: str | None, hosts: str, said: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(HOSTS, hosts)
    Path("roles.yaml").write_text("default: viewer\n")
    Path("wrong.yaml").write_text("default: everybody\n")
    Path("secrets.toml").write_text(secrets or "")
    with nullcontext() if said is None else pytest.raises(UsageError, match=said):
        check_access(access, Path("secrets.toml") if secrets is not None else None)


def test_without_the_package_for_signing_in_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "roles.yaml").write_text("default: viewer\n")
    (tmp_path / "secrets.toml").write_text(f"[auth]\n{AUTH}{PROVIDER}")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"assay\[dashboard-oidc\]"):
        check_access(Access(roles=tmp_path / "roles.yaml"), tmp_path / "secrets.toml")


def test_secrets_come_from_the_file_that_was_given_and_from_no_other(tmp_path: Path) -> None:
    words = command(8599, tmp_path / "secrets.toml")
    assert words[words.index("--secrets.files") + 1] == str(tmp_path / "secrets.toml")
    nowhere = command(8599)
    assert nowhere[nowhere.index("--secrets.files") + 1] == "no-secrets.toml"


def test_the_key_is_in_the_address_alone() -> None:
    access = Access("secret")
    assert entrance(8599, access) == "http://localhost:8599/?key=secret"
    assert entrance(8599, Access()) == "http://localhost:8599/"
    assert not any("secret" in word.partition("=")[2] for word in command(8599))  # anybody can read a command line


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
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, nullcontext
from itertools import pairwise
from pathlib import Path
from dashboards.server import launch as module
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


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Port of a dashboard that was started in a folder whose settings, secrets and modules are hostile."""
    model = tmp_path_factory.mktemp("model")
    (model / ".streamlit").mkdir()
    (model / ".streamlit" / "config.toml").write_text(
        "[server]\nenableCORS = false\nenableXsrfProtection = false\nallowedHosts = ['*']\naddress = '0.0.0.0'\n"
        "corsAllowedOrigins = ['http://evil.example']\nenableAgentApi = true\n[global]\ndevelopmentMode = true\n"
    )
    (model / ".streamlit" / "secrets.toml").write_text("PYTHONPATH = '/nowhere'\n")
    for name in ("streamlit", "uvicorn", "pandas", "matplotlibrc"):
        (model / f"{name}.py").write_text(f"open({str(model / 'ran')!r}, 'w')\n")
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        number = int(free.getsockname()[1])
    code = (
        f"from pathlib import Path\nfrom dashboards.server.launch import launch\nlaunch(Path('audits'), None, {number})"
    )
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(model.parent)}
    started = subprocess.Popen(
        [sys.executable, "-P", "-c", code],
        cwd=model,
        env=variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait(number, started)
        yield number
        assert not (model / "ran").exists()
    finally:
        started.terminate()
        started.wait(timeout=30)


def _wait(port: int, started: subprocess.Popen[bytes]) -> None:
    for _ in range(1800):
        assert started.poll() is None
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=5) as answer:
                assert answer.status == 200
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("the dashboard did not start")


def handshake(port: int, host: str, origin: str | None, path: str = "/_stcore/stream") -> int:
    """Status of a request for a WebSocket; 101: it is open."""
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: {host}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Protocol: streamlit",
        *([f"Origin: {origin}"] if origin else []),
    ]
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        return int(connection.recv(4096).split()[1])


def test_a_page_of_the_dashboard_is_served(port: int) -> None:
    assert handshake(port, f"127.0.0.1:{port}", f"http://127.0.0.1:{port}") == 101
    assert handshake(port, f"localhost:{port}", f"http://localhost:{port}") == 101


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("evil.example:{port}", "http://evil.example:{port}"),  # a name that leads to 127.0.0.1
        ("evil.example", None),
        ("127.0.0.1.evil.example:{port}", "http://127.0.0.1.evil.example:{port}"),
        ("127.0.0.1:{port}", "http://evil.example"),
        ("localhost:{port}", "http://evil.example:{port}"),
        ("localhost@evil.example", None),
        ("127.0.0.1:{port}", "null"),
    ],
)
def test_a_stranger_gets_no_socket(port: int, host: str, origin: str | None) -> None:
    given = origin.format(port=port) if origin else None
    assert handshake(port, host.format(port=port), given) == 403


def test_the_server_listens_on_this_machine_only(port: int) -> None:
    listening = Path("/proc/net/tcp")
    if not listening.exists():
        pytest.skip("needs /proc/net/tcp")
    entries = [line.split() for line in listening.read_text().splitlines()[1:]]
    bound = [entry[1] for entry in entries if entry[3] == "0A" and entry[1].endswith(f":{port:04X}")]
    assert bound == [f"0100007F:{port:04X}"]
