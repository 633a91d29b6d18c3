"""A dashboard served to a browser of this machine, and the memory that its processes take."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from dashboards.server.launch import command, environment
from harness.base.surroundings import python_environment

ROOT = Path(__file__).resolve().parents[2]
START = 180.0
"""Seconds that a server may take to answer: it takes three, and a machine with other work sixty."""
_EVERY = 0.05
"""Seconds between two looks at memory: a query of DuckDB takes longer."""


@dataclass
class Server:
    """A server that answers, `started` seconds after it was begun."""

    address: str
    started: float
    process: subprocess.Popen[bytes]
    peak: int = 0
    """Bytes of resident memory of all its processes together, the most that was seen."""
    _over: threading.Event = field(default_factory=threading.Event)

    def watch(self) -> None:
        """Look at its memory until it ends."""
        while not self._over.wait(_EVERY):
            self.peak = max(self.peak, _resident(self.process.pid))

    def end(self) -> None:
        """Stop it."""
        self._over.set()
        self.process.terminate()
        self.process.wait()


def find_chromium() -> str | None:
    """Path of a Chromium or Chrome, None where there is none."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((path for path in map(shutil.which, names) if path), None)


@contextmanager
def serving(output: Path, tracking_uri: str | None = None, words: Sequence[str] | None = None) -> Iterator[Server]:
    """A dashboard over `output`, or what the command line `words` starts, where {port} stands for its port.

    Raises RuntimeError where it ends, or does not answer.
    """
    port = _free_port()
    line = command(port) if words is None else [word.replace("{port}", str(port)) for word in words]
    with tempfile.TemporaryDirectory(prefix="assay-served-") as empty:
        own = {**environment(output, tracking_uri), "ASSAY_CACHE": empty, "PYTHONPATH": str(ROOT)}
        began = time.perf_counter()
        process = subprocess.Popen(
            line, env={**python_environment(), **own}, cwd=empty, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        server = Server(f"http://localhost:{port}", 0.0, process)
        watcher = threading.Thread(target=server.watch, daemon=True)
        try:
            watcher.start()
            _wait(f"http://127.0.0.1:{port}/_stcore/health", process)
            server.started = time.perf_counter() - began
            yield server
        finally:
            server.end()
            watcher.join()


def _free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        return int(free.getsockname()[1])


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + START
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"the dashboard ended with status {process.returncode}")
        with suppress(OSError):
            urllib.request.urlopen(url).close()
            return
        time.sleep(0.02)
    raise RuntimeError(f"{url} did not answer in {START:.0f} seconds")


def processor() -> dict[int, float]:
    """Seconds of processor that each process started by this one has taken: servers, browsers and their helpers."""
    taken = {}
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            times = process.cpu_times()
            taken[process.pid] = times.user + times.system
    return taken


def _resident(pid: int) -> int:
    """Bytes of a process and of all that it started; of those that ended meanwhile none."""
    total = 0
    with suppress(psutil.Error):
        parent = psutil.Process(pid)
        for process in (parent, *parent.children(recursive=True)):
            with suppress(psutil.Error):
                total += process.memory_info().rss
    return total
