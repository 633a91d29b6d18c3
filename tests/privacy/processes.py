"""Runs a function in several gloo processes, as torchrun would, without importing everything anew."""

from __future__ import annotations

import multiprocessing
import pickle
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

UNCONNECTED = "no process group"
_TRIES = 3
"""gloo's processes find each other by addresses that another program may hold or close on a busy machine."""


def in_processes(world: int, folder: Path, function: Callable[[], Any]) -> list[Any]:
    """What `function` returns in each of `world` processes. It starts only where all of them have met."""
    for attempt in range(_TRIES):
        results = _attempt(world, folder / f"store-{world}-try{attempt}", function)
        if UNCONNECTED not in results:
            break
    failed = [result for result in results if isinstance(result, str) and result.startswith("Traceback")]
    assert not failed, failed[0]
    assert UNCONNECTED not in results, f"the processes did not meet in {_TRIES} tries"
    return results


def _attempt(world: int, store: Path, function: Callable[[], Any]) -> list[Any]:
    context = multiprocessing.get_context("fork")
    started = [context.Process(target=_run, args=(rank, world, store, function)) for rank in range(world)]
    for process in started:
        process.start()
    for process in started:
        process.join(timeout=600)  # a loaded machine is no hang
    alive = [process for process in started if process.is_alive()]
    for process in alive:
        process.kill()
    assert not alive, "a process hangs"
    return [pickle.loads(_result(store, rank).read_bytes()) for rank in range(world)]


def _run(rank: int, world: int, store: Path, function: Callable[[], Any]) -> None:
    torch.set_num_threads(1)
    try:
        dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world)
        dist.barrier()
    except Exception:
        _result(store, rank).write_bytes(pickle.dumps(UNCONNECTED))
        return
    try:
        result = function()
    except BaseException:
        result = traceback.format_exc()
    _result(store, rank).write_bytes(pickle.dumps(result))
    dist.destroy_process_group()


def _result(store: Path, rank: int) -> Path:
    return store.with_name(f"{store.name}-{rank}")
