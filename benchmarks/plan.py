"""`assay plan` as a command, start included: of a checkpoint that no plan has seen, and of one that an earlier one has.

The peer is a Python that imports torch and transformers and does nothing with them, which whatever inspects a
checkpoint has to do first. Each in turns; the cache is a new one whose packages are there already.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import yaml

from benchmarks.report import Cell
from harness.data.pypi import cache_home
from harness.errors import AssayError

PEERS = ("torch", "transformers")
ROUNDS = 3
SECONDS = 5.0
"""Bound of a plan with everything cached."""
_SETTLED = 3.0
"""Seconds for which files must have been left alone before anything of them is kept, and one more."""
_FIRST = Path("examples/first_audit")
_NEEDS_SHADOWS = "memorization/shadow_attack"
_IMPORTS = ["-c", "import torch, transformers"]
_MEASURE = """
import resource, subprocess, sys
done = subprocess.run([sys.executable, *sys.argv[1:]], capture_output=True, text=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(done.stdout[-300:], done.stderr[-300:])
print("measured", done.returncode, used.ru_utime + used.ru_stime)
"""
"""A process in between, whose only child is measured, with the processes that it starts in turn."""


@dataclass(frozen=True)
class Took:
    """One command: seconds of the processor, on all cores, and of a clock."""

    cpu: float
    wall: float


def run() -> list[Cell]:
    """A first plan and a second one of each checkpoint of the first audit that is here, against the imports alone."""
    cells = []
    with tempfile.TemporaryDirectory() as scratch:
        for name, spec in _specs(Path(scratch)).items():
            rounds = [_round(spec, Path(scratch) / f"{spec.stem}-{number}") for number in range(ROUNDS)]
            floor, first, second = (
                Took(median(each.cpu for each in column), median(each.wall for each in column))
                for column in zip(*rounds, strict=True)
            )
            cells += [_against(f"{name}, seen for the first time", first, floor, None)]
            cells += [_against(f"{name}, seen before", second, floor, 1.0)]
            cells += [Cell(f"{name}, seen before: seconds", second.wall, SECONDS, 1.0, lower_is_better=True)]
    return cells


def _against(name: str, ours: Took, floor: Took, target: float | None) -> Cell:
    extra = {"wall": round(ours.wall, 1), "wall_of_peer": round(floor.wall, 1), "rounds": ROUNDS, "load": _load()}
    return Cell(f"{name}: seconds of CPU", ours.cpu, floor.cpu, target, lower_is_better=True, extra=extra)


def _load() -> float:
    """Processes that wanted a core, over the last five minutes: seconds of a clock mean little where there are many."""
    return round(os.getloadavg()[1], 1)


def _specs(scratch: Path) -> dict[str, Path]:
    """The first audit's, as far as their checkpoints are here; without the probe that needs models trained for it."""
    specs = {"SmolLM2-135M, 3 probes": _FIRST / "gpt.yaml"}
    bert: dict[str, Any] = yaml.safe_load((_FIRST / "bert.yaml").read_text(encoding="utf-8"))
    if Path(bert["checkpoint"]).is_dir():
        bert["probes"] = [each for each in bert["probes"] if each != _NEEDS_SHADOWS]
        specs["MiniLM, 4 probes"] = scratch / "bert.yaml"
        specs["MiniLM, 4 probes"].write_text(yaml.safe_dump(bert), encoding="utf-8")
    return specs


def _round(spec: Path, cache: Path) -> tuple[Took, Took, Took]:
    """The imports alone, a first plan, a second one."""
    cache.mkdir()
    (cache / "pypi").symlink_to(cache_home().absolute() / "pypi")
    plan = ["-m", "harness.cli", "plan", str(spec), "--trust-manifest"]
    time.sleep(_SETTLED)
    return _took(_IMPORTS, cache), _took(plan, cache), _took(plan, cache)


def _took(command: list[str], cache: Path) -> Took:
    alone = {**os.environ, "OMP_NUM_THREADS": "1", "ASSAY_CACHE": str(cache)}
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, *command], capture_output=True, text=True, env=alone, check=False
    )
    wall = time.perf_counter() - start
    output, _, measured = done.stdout.rpartition("measured ")
    code, cpu = measured.split()
    if int(code) != 0:
        raise AssayError(f"{' '.join(command)} failed: {output[-500:]}")
    return Took(float(cpu), wall)
