"""Asks the confined process about a checkpoint, and turns how it ended into one sentence."""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import harness
from harness.api.isolation import TOKENS, Isolation
from harness.api.staging import Staged
from harness.base.limits import capped, to_raise
from harness.checkpoint.isolated import server
from harness.errors import CheckpointError, UsageError

VARIABLE = "ASSAY_ISOLATION"
"""'process' insists on it, 'none' does without; not set: a process where the platform can."""
_START_SECONDS = 120
"""Importing torch and transformers takes 5 s, ten times that on a machine under load."""
_KEPT = ("PATH", "LANG", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "SYSTEMROOT", "TZ")
_KEPT_PREFIXES = ("LC_", "OPENBLAS_", "MKL_", "KMP_")

Task = Literal["examine", "trial"]


class _Server:
    """One running server process; requests one at a time."""

    def __init__(self, process: int, requests: int, answers: int) -> None:
        self._process = process
        self._requests, self._answers = requests, answers
        self.owner = os.getpid()
        self._ready = False

    def ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Raises OSError or ValueError when the server is gone or says nothing in time."""
        if self._process == 0:
            raise OSError("the server was stopped")
        if not self._ready:
            self._line(_START_SECONDS)
            self._ready = True
        left = json.dumps(request).encode() + b"\n"
        while left:
            left = left[os.write(self._requests, left) :]
        return self._line(seconds + 60)

    def stop(self) -> None:
        """End it; a forked copy of this process leaves it alone."""
        if os.getpid() != self.owner or self._process == 0:
            return
        process, self._process = self._process, 0
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(process, 0)
        os.close(self._requests)
        os.close(self._answers)

    def _line(self, seconds: float) -> dict[str, Any]:
        deadline, said = time.monotonic() + seconds, b""
        while not said.endswith(b"\n"):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._answers], [], [], left)[0]:
                raise OSError("the server said nothing in time")
            block = os.read(self._answers, 2**16)
            if not block:
                raise OSError("the server ended")
            said += block
        answer: dict[str, Any] = json.loads(said)
        return answer


def _forked(model_type: str) -> _Server:
    """A fork of this process, which imports first what it would import anyhow: for a process with one thread."""
    server.import_libraries(model_type)
    (asked, requests), (answers, answering) = os.pipe(), os.pipe()
    variables = environment()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python counts idle threads of numpy too
        process = os.fork()
    if process == 0:
        server.become(asked, answering, variables)
    os.close(asked)
    os.close(answering)
    return _Server(process, requests, answers)


def _started() -> _Server:
    """A program of its own."""
    (asked, requests), (answers, answering) = os.pipe(), os.pipe()
    try:
        command = [sys.executable, "-P", "-m", "harness.checkpoint.isolated.server", str(answering)]
        process = subprocess.Popen(
            command,
            stdin=asked,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(answering,),
            env=environment(),
            cwd="/",
            start_new_session=True,
        )
    finally:
        os.close(asked)
        os.close(answering)
    process.returncode = 0  # `stop` waits for it
    return _Server(process.pid, requests, answers)


_lock = threading.Lock()
_server: _Server | None = None


def start(model_type: str = "", *, now: bool = False) -> None:
    """Have a server; nothing where there is to be none, or (unless `now`) where a fork will be had when it is asked."""
    global _server
    if _refused() is not None:
        return
    with _lock:
        if _server is None or _server.owner != os.getpid():
            alone = threading.active_count() == 1
            if alone and not now:
                return
            try:
                _server = _forked(model_type) if alone else _started()
            except OSError:  # said when it is asked
                _server = None
            else:
                atexit.register(_server.stop)


def stop() -> None:
    """End the server, if there is one; the next question starts another."""
    global _server
    with _lock:
        if _server is not None:
            _server.stop()
        _server = None


def ask(task: Task, staged: Staged, *, size: int, model_type: str = "", dtype: str = "fp32") -> Isolation:
    """Have a confined child do `task`; how it was confined.

    Args:
        task: 'examine' (no weights) or 'trial' (weights and a forward pass).
        staged: the checkpoint.
        size: bytes that the child will have to hold.
        model_type: to have its modules imported before the fork.
        dtype: of a trial.

    Raises:
        CheckpointError: the child refused the checkpoint, or did not survive it.
        UsageError: isolation was insisted on and is not to be had.
    """
    refused = _refused()
    if refused is not None:
        return _without(refused)
    request = _request(task, staged, size, model_type, dtype)
    answer = _answer(request)
    if answer is None:
        return _without("the process for it could not be started")
    return _judged(answer, request, staged)


def _request(task: Task, staged: Staged, size: int, model_type: str, dtype: str) -> dict[str, Any]:
    cpu = capped(20) if task == "examine" else capped(30) + size // 10_000_000
    return {
        "task": task,
        "folder": str(staged.private),
        "origin": str(staged.origin),
        "model": str(staged.model),
        "base_origin": str(staged.base_origin),
        "adapter": str(staged.adapter) if staged.adapter is not None else None,
        "model_type": model_type,
        "dtype": dtype,
        "memory": capped(2 * 2**30) + size,
        "cpu_seconds": cpu,
        "wall_seconds": 5 * cpu,  # of a machine that is busy with other work
    }


def _answer(request: dict[str, Any]) -> dict[str, Any] | None:
    """One answer, from a new server where the old one is gone; None when none can be had."""
    global _server
    for _ in range(2):
        start(request["model_type"], now=True)
        with _lock:
            if _server is None:
                return None
            try:
                return _server.ask(request, request["wall_seconds"])
            except (OSError, ValueError):
                _server.stop()
                _server = None
    return None


def _judged(answer: dict[str, Any], request: dict[str, Any], staged: Staged) -> Isolation:
    error = answer.get("error")
    if isinstance(error, str):
        raise CheckpointError(error[:2_000])
    cpu, memory = request["cpu_seconds"], request["memory"] / 2**30
    if answer.get("timed_out") or answer.get("seconds", 0.0) >= cpu:
        raise CheckpointError(f"{staged.origin}: reading it took more than {cpu} s of processor time; {to_raise()}")
    if answer.get("memory"):
        raise CheckpointError(f"{staged.origin}: reading it took more than {memory:.1f} GiB of memory; {to_raise()}")
    if answer.get("passed") is not True:
        number = answer.get("signal") or 0
        how = f"signal {number}" if number else "without a word"
        raise CheckpointError(
            f"{staged.origin}: the process that read it first ended ({how}): it crashes the library that reads it, or "
            f"needs more than {memory:.1f} GiB of memory; {to_raise()}"
        )
    measures = tuple(str(each) for each in answer.get("measures", ()))
    unnamed = tuple(name for name in TOKENS if name in answer.get("unnamed", ()))
    return Isolation("process", measures, "; ".join(f"no {each}" for each in answer.get("lacking", ())), unnamed)


def _refused() -> str | None:
    """Why no process is used."""
    wanted = os.environ.get(VARIABLE, "")
    if wanted not in {"", "none", "process"}:
        raise UsageError(f"{VARIABLE}={wanted[:40]}: must be 'process' or 'none'")
    if wanted == "none":
        return f"{VARIABLE}=none"
    return None if sys.platform == "linux" else f"not built for {sys.platform}"


def _without(why: str) -> Isolation:
    if os.environ.get(VARIABLE) == "process":
        raise UsageError(f"{VARIABLE}=process: no isolation is to be had here ({why})")
    return Isolation("none", why=why)


def environment() -> dict[str, str]:
    """Nothing secret: a few names of the caller's, and word to every library that it is offline."""
    kept = {name: value for name, value in os.environ.items() if name in _KEPT or name.startswith(_KEPT_PREFIXES)}
    home = Path(harness.__file__).parent.parent
    paths = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if Path(entry).is_absolute()]
    if home.name not in {"site-packages", "dist-packages"}:  # a source tree, which -P does not put on the path
        paths.append(str(home))
    return {
        **kept,
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": "/nonexistent",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "HF_HOME": "/nonexistent/hf",
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }
