"""One micro-batch of private training: the book-keeping engine against ordinary training and Opacus' two modes.

Each way runs in a process of its own, on the same model, batch, precision and loss, forward pass to (clipped) sums of
gradients. Noise and the optimizer's step are left out: they come once per logical batch, whatever made the sums. The
sums of all three private ways are compared. Dropout is off, which leaves less ordinary work to hide behind.
On a CPU, time is that of the one thread used, so that a busy machine disturbs less; memory is resident memory over
that of the process before the model was made, in steps of their own in which what is freed is given back at once: else
it would be the allocator that is measured.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from benchmarks.dp_training_step import CACHED
from benchmarks.report import Cell
from harness.errors import AssayError

PEERS = ("opacus", "peft")

_PARTS = ("lora", "head", "cached head")
"""Trainings of few weights, which are held to one target."""
_TIME, _MEMORY = {"full": 1.35, **dict.fromkeys(_PARTS, 1.15)}, {"full": 1.2, **dict.fromkeys(_PARTS, 1.05)}
_GPU_TIME = {"full": 1.25, **dict.fromkeys(_PARTS, 1.15)}
_GPU_MEMORY = {"full": 1.15, **dict.fromkeys(_PARTS, 1.05)}
_AGREEMENT = 1e-3
LIMITS = {
    "cached head, T=1, B=2048: time": "features are read a third time, for their norms; the rest is Python's calls",
    "cached head, T=1, B=2048: peak memory": "a few megabytes, less than what importing and hooks move by chance",
    "ordinary time": "Gram products, which grow with positions squared, or forming gradients where that is smaller",
    "ordinary memory": "output gradients of all layers are kept until the clipping weights are known",
    "peak opacus hooks": "parameters, a sum of each, activations and logits are held by both; hooks add a gradient of "
    "each parameter per sample, which few samples do not make three times as much",
    "opacus hooks": "per-sample gradients are what hooks add; with few samples to a micro-batch that is little",
    "opacus ghost": "a second backward pass is what ghost adds; with few trained layers that is little",
}
"""What limits a comparison that is lost."""


@dataclass(frozen=True, slots=True)
class Case:
    """One model at one shape."""

    shape: str
    """bert-base or gpt2."""

    training: str
    """full, lora, head (the encoder is run, not trained) or cached head (the encoder was run before)."""

    positions: int
    samples: int

    def __str__(self) -> str:
        return f"{self.shape} {self.training}, T={self.positions}, B={self.samples}"


CASES = (
    Case("bert-base", "full", 128, 8),
    Case("bert-base", "full", 512, 2),
    Case("gpt2", "full", 128, 4),
    Case("gpt2", "full", 128, 8),
    Case("gpt2", "full", 512, 1),
    Case("bert-base", "lora", 128, 8),
    Case("gpt2", "lora", 128, 4),
    Case("bert-base", "head", 128, 8),
    Case("bert-base", "cached head", 1, CACHED),
)


def run() -> list[Cell]:
    """Cells of all cases."""
    return [cell for case in CASES for cell in compare(case)]


def compare(case: Case) -> list[Cell]:
    """Ours against each other way: time (or throughput) and peak memory."""
    measured = {way: measure(case, way) for way in ("ours", "ordinary", "hooks", "ghost")}
    ours = measured["ours"]
    failed = {f"opacus_{way}_fails": result["error"] for way, result in measured.items() if "error" in result}
    cells = _against_ordinary(case, ours, measured["ordinary"], failed)
    for way in ("hooks", "ghost"):
        if "error" not in measured[way]:
            cells += _against_opacus(case, way, ours, measured[way])
    return cells


def measure(case: Case, way: str) -> dict[str, Any]:
    """What `benchmarks.dp_training_step` prints, or {"error": sentence}."""
    command = [sys.executable, "-m", "benchmarks.dp_training_step", case.shape, case.training]
    command += [str(case.positions), str(case.samples), way]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = done.stdout.strip().splitlines()
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        if way in {"ours", "ordinary"}:
            raise AssayError(f"{case}, {way}: {reason}")
        return {"error": reason}
    result: dict[str, Any] = json.loads(lines[-1])
    return result


def _against_ordinary(case: Case, ours: dict[str, Any], ordinary: dict[str, Any], failed: dict[str, str]) -> list[Cell]:
    times, memory = (_GPU_TIME, _GPU_MEMORY) if ours["cuda"] else (_TIME, _MEMORY)
    spread = {"unit": "s", "ours_all": ours["seconds"], "peer_all": ordinary["seconds"], **failed}
    return [
        _cell(f"{case}: time against ordinary", ours["median"], ordinary["median"], times[case.training], **spread),
        _cell(
            f"{case}: peak memory against ordinary",
            ours["peak_mb"],
            ordinary["peak_mb"],
            memory[case.training],
            unit="MB",
            ours_first_step=ours["first_peak_mb"],
        ),
    ]


def _against_opacus(case: Case, way: str, ours: dict[str, Any], theirs: dict[str, Any]) -> list[Cell]:
    gap = abs(ours["sum_norm"] - theirs["sum_norm"]) / ours["sum_norm"]
    agreement = {
        "unit": "samples/s",
        "relative_difference_of_sums": float(f"{gap:.2g}"),
        "sums_agree": gap <= _AGREEMENT,
    }
    faster, smaller = (2.0, 0.333) if way == "hooks" else (None, None)
    rate, their_rate = (result["samples"] / result["median"] for result in (ours, theirs))
    name = f"{case}: throughput against opacus {way}"
    rates = _cell(name, rate, their_rate, faster, lower_is_better=False, **agreement)
    memory = _cell(f"{case}: peak memory against opacus {way}", ours["peak_mb"], theirs["peak_mb"], smaller, unit="MB")
    return [rates, memory]


def _cell(
    name: str, ours: float, peer: float, target: float | None, *, lower_is_better: bool = True, **extra: Any
) -> Cell:
    cell = Cell(name, ours, peer, target, lower_is_better, extra)
    if target is not None and (cell.ratio > target if lower_is_better else cell.ratio < target):
        extra["limited_by"] = next(
            reason for key, reason in LIMITS.items() if all(word in name for word in key.split())
        )
    return cell
