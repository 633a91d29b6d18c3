"""Toy attacks for the engine: module-level, so that a worker process can import them."""

from __future__ import annotations

import os
import random
import signal
import time
from typing import Any

import numpy as np

from suites.adversarial.pooled.fibres import ask


def make(count: int) -> list[dict[str, int]]:
    return [{"runs": 0} for _ in range(count)]


def broken_make(count: int) -> list[Any]:
    raise FileNotFoundError(f"no vectors for {count}")


def doubling(slot: dict[str, int], job: Any) -> tuple[Any, list[float], list[float]]:
    """Asks three times, and draws before and after."""
    slot["runs"] += 1
    drawn = [random.random(), float(np.random.random())]
    got = []
    for step in range(3):
        got += list(ask("double", [job, job + step]))
        drawn.append(random.random())
    if job == 7:
        raise ZeroDivisionError("seven")
    return job, got, drawn


def deadly(slot: dict[str, int], job: Any) -> Any:
    """Job 3 kills the process it runs in."""
    (answer,) = ask("double", [job])
    if job == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return answer


def slow(slot: dict[str, int], job: Any) -> Any:
    """Job 1 never ends by itself."""
    while True:
        time.sleep(0.01)
        (answer,) = ask("double", [job])
        if job != 1:
            return answer


class UnpicklableError(Exception):
    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first} and {second}")


def raising(slot: dict[str, int], job: Any) -> Any:
    raise UnpicklableError(1, 2)
