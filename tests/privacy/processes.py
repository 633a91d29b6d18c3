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


def in_processes(world: int, folder: Path, function: Callable[[], Any]) -> list[Any]:
    """What `function` returns in each of `world` processes."""
    store = folder / f"store-{world}"
    context = multiprocessing.get_context("fork")
    started = [context.Process(target=_run, args=(rank, world, store, function)) for rank in range(world)]
    for process in started:
        process.start()
    for process in started:
        process.join(timeout=120)
    alive = [process for process in started if process.is_alive()]
    for process in alive:
        process.kill()
    results = [pickle.loads((folder / f"store-{world}-{rank}").read_bytes()) for rank in range(world)]
    failed = [result for result in results if isinstance(result, str) and result.startswith("Traceback")]
    assert not alive, "a process hangs"
    assert not failed, failed[0]
    return results


def _run(rank: int, world: int, store: Path, function: Callable[[], Any]) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world)
    try:
        result = function()
    except BaseException:
        result = traceback.format_exc()
    store.with_name(f"{store.name}-{rank}").write_bytes(pickle.dumps(result))
    dist.destroy_process_group()
