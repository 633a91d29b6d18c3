"""Forks a confined child for every checkpoint it is asked about.

It holds the libraries ready, so that a child costs a fork and not five seconds of imports, and is born in one of two
ways: `become`, in a fork of the process that asks, which has imported them already; or a program of its own (`python -P
-m harness.checkpoint.isolated.server FD`), where other threads run and such a fork would not be safe. A request is a
line of JSON on standard input, an answer one on FD.
"""

from __future__ import annotations

import importlib
import json
import os
import select
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

WORK = "harness.checkpoint.tasks"
"""What children run, by name: it loads checkpoints, which asks this server first; the files know no circle."""
_MOST = 2**20
"""Bytes of an answer; a sentence has a few hundred."""


def main() -> None:
    """The program: answer until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asks; it then closes the pipe
    _nowhere(1, 2)
    import_libraries("")
    _serve(0, int(sys.argv[1]))


def become(requests: int, answers: int, environment: Mapping[str, str]) -> NoReturn:
    """In a fork of the process that asks: let go of all that is its (files, terminal, variables), and serve."""
    try:
        os.setsid()  # the terminal's Ctrl-C does not come here
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN if number == signal.SIGINT else signal.SIG_DFL)
        os.dup2(requests, 0)
        _nowhere(1, 2)
        _close_all_but(answers)
        os.environ.clear()
        os.environ.update(environment)
        os.chdir("/")
        sys.path[:] = [entry for entry in sys.path if Path(entry).is_absolute()]
        _serve(0, answers)
    finally:
        os._exit(0)


def import_libraries(model_type: str) -> None:
    """What every child needs, imported here; and the architecture, where it is a known one."""
    import torch  # noqa: F401

    importlib.import_module(WORK)
    importlib.import_module("harness.checkpoint.survey")
    importlib.import_module("transformers.modeling_utils")
    _warm(model_type)


def _serve(requests: int, answers: int) -> None:
    import torch

    torch.set_num_threads(1)  # threads do not outlive a fork
    _say(answers, {"ready": True})
    for line in _lines(requests):
        request = json.loads(line)
        _warm(request.get("model_type"))
        _say(answers, _answer(request))


def _lines(handle: int) -> Iterator[bytes]:
    said = b""
    while block := os.read(handle, 2**16):
        *lines, said = (said + block).split(b"\n")
        yield from lines


def _nowhere(*handles: int) -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for handle in handles:
        os.dup2(nowhere, handle)


def _say(handle: int, content: dict[str, Any]) -> None:
    left = json.dumps(content).encode() + b"\n"
    while left:
        left = left[os.write(handle, left) :]


def _warm(model_type: Any) -> None:
    """Import an architecture once, here, instead of in every child."""
    from transformers.models.auto.configuration_auto import model_type_to_module_name

    from harness.checkpoint.architectures import TEXT_MODELS

    if model_type in TEXT_MODELS:
        name = model_type_to_module_name(model_type)
        try:
            importlib.import_module(f"transformers.models.{name}.modeling_{name}")
        except ImportError:  # the child finds out and says so
            return


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    """What the child said, or how it ended."""
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(readable)
        _child(request, writable)
    os.close(writable)
    said, timed_out = _read(readable, time.monotonic() + float(request["wall_seconds"]))
    os.close(readable)
    if timed_out:
        os.kill(child, signal.SIGKILL)
    _, status, used = os.wait4(child, 0)
    ended = {
        "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0,
        "timed_out": timed_out,
        "seconds": used.ru_utime + used.ru_stime,
        "peak": used.ru_maxrss * 1024,
    }
    try:
        parsed = json.loads(said)
    except ValueError:
        parsed = {}
    return {**(parsed if isinstance(parsed, dict) else {}), **ended}


def _read(handle: int, deadline: float) -> tuple[bytes, bool]:
    """Everything up to the end of the pipe, `_MOST` bytes, or the deadline; and whether it was the deadline."""
    said = b""
    while len(said) < _MOST:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([handle], [], [], left)[0]:
            return said, True
        block = os.read(handle, 2**16)
        if not block:
            break
        said += block
    return said, False


def _child(request: dict[str, Any], writable: int) -> NoReturn:
    """Confine, work, say what came of it, and end without any of Python's clean-up."""
    code = 1
    try:
        _nowhere(0)
        _close_all_but(writable)
        from harness.checkpoint.isolated.confine import confine

        done, lacking = confine([Path(request["folder"])], int(request["memory"]), int(request["cpu_seconds"]))
        answer: dict[str, Any] = {"measures": done, "lacking": lacking}
        answer.update(importlib.import_module(WORK).run(request))
        os.write(writable, json.dumps(answer).encode())
        code = 0
    finally:
        os._exit(code)


def _close_all_but(*kept: int) -> None:
    """Files and pipes of the process that forked are not this one's to use."""
    for entry in list(Path("/proc/self/fd").iterdir()):
        handle = int(entry.name)
        if handle > 2 and handle not in kept:
            try:
                os.close(handle)
            except OSError:
                continue


if __name__ == "__main__":
    main()
