"""`python -P -m harness.checkpoint.isolated.server FD`: forks a confined child for every checkpoint it is asked about.

It holds the libraries ready, so that a child costs a fork and not five seconds of imports; nothing of the process that
started it (tokens, data, threads) is in it. A request is a line of JSON on standard input, an answer one on FD.
"""

from __future__ import annotations

import importlib
import json
import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

_MOST = 2**20
"""Bytes of an answer; a sentence has a few hundred."""


def main() -> None:
    """Answer until standard input ends."""
    answers = os.fdopen(int(sys.argv[1]), "w", encoding="utf-8")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asks; it then closes the pipe
    _quieten()
    import torch

    torch.set_num_threads(1)
    importlib.import_module("harness.checkpoint.isolated.tasks")
    importlib.import_module("transformers.modeling_utils")
    _say(answers, {"ready": True})
    for line in sys.stdin:
        request = json.loads(line)
        _warm(request.get("model_type"))
        _say(answers, _answer(request))


def _quieten() -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)


def _say(answers: Any, content: dict[str, Any]) -> None:
    answers.write(json.dumps(content) + "\n")
    answers.flush()


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
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        sys.stdin.close()
        _close_others(writable)
        from harness.checkpoint.isolated import tasks
        from harness.checkpoint.isolated.confine import confine

        done, lacking = confine([Path(request["folder"])], int(request["memory"]), int(request["cpu_seconds"]))
        answer: dict[str, Any] = {"measures": done, "lacking": lacking}
        answer.update(tasks.run(request))
        os.write(writable, json.dumps(answer).encode())
        code = 0
    finally:
        os._exit(code)


def _close_others(kept: int) -> None:
    """Pipes of the server are not the child's to use."""
    for entry in list(Path("/proc/self/fd").iterdir()):
        handle = int(entry.name)
        if handle > 2 and handle != kept:
            try:
                os.close(handle)
            except OSError:
                continue


if __name__ == "__main__":
    main()
