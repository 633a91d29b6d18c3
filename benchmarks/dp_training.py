"""One micro-batch of private training: the book-keeping engine against ordinary training and Opacus' two modes.

Each way runs in a process of its own, on the same model, batch, precision and loss, forward pass to (clipped) sums of
gradients. Noise and the optimizer's step are left out: they come once per logical batch, whatever made the sums. The
sums of all three private ways must agree. Dropout is off, which leaves less ordinary work to hide behind.
On a CPU, time is that of the one thread used, so that a busy machine disturbs less; memory is resident memory over
that of the process before the model was made.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from benchmarks.report import Cell
from harness.errors import AssayError

PEERS = ("opacus", "peft")

_TIME, _MEMORY = {"full": 1.35, "lora": 1.15}, {"full": 1.2, "lora": 1.05}
_GPU_TIME, _GPU_MEMORY = {"full": 1.25, "lora": 1.15}, {"full": 1.15, "lora": 1.05}
_AGREEMENT = 1e-3
LIMITS = {
    "ordinary time": "Gram products, which grow with positions squared, or forming gradients where that is smaller",
    "ordinary memory": "output gradients of all layers are kept until the clipping weights are known",
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
    """full or lora."""

    positions: int
    samples: int

    def __str__(self) -> str:
        return f"{self.shape} {self.training}, T={self.positions}, B={self.samples}"


CASES = (
    Case("bert-base", "full", 128, 8),
    Case("bert-base", "full", 512, 2),
    Case("gpt2", "full", 128, 4),
    Case("gpt2", "full", 512, 1),
    Case("bert-base", "lora", 128, 8),
    Case("gpt2", "lora", 128, 4),
)


def run() -> list[Cell]:
    """Cells of all cases."""
    return [cell for case in CASES for cell in compare(case)]


def compare(case: Case) -> list[Cell]:
    """Ours against each other way: time (or throughput) and peak memory."""
    measured = {way: measure(case, way) for way in ("ours", "ordinary", "hooks", "ghost")}
    ours = measured["ours"]
    cells = _against_ordinary(case, ours, measured["ordinary"])
    for way in ("hooks", "ghost"):
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


def _against_ordinary(case: Case, ours: dict[str, Any], ordinary: dict[str, Any]) -> list[Cell]:
    times, memory = (_GPU_TIME, _GPU_MEMORY) if ours["cuda"] else (_TIME, _MEMORY)
    spread = {"unit": "s", "ours_all": ours["seconds"], "peer_all": ordinary["seconds"]}
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
    if "error" in theirs:
        case_name = f"{case}: throughput against opacus {way} (it fails)"
        return [Cell(case_name, ours["samples"] / ours["median"], float("nan"), extra={"peer_error": theirs["error"]})]
    gap = abs(ours["sum_norm"] - theirs["sum_norm"]) / ours["sum_norm"]
    agreement = {"relative_difference_of_sums": float(f"{gap:.2g}"), "sums_agree": gap <= _AGREEMENT}
    target = {"hooks": (2.0, 0.333)}.get(way, (None, None))
    rates = [result["samples"] / result["median"] for result in (ours, theirs)]
    return [
        Cell(f"{case}: throughput against opacus {way}", *rates, target[0], extra={"unit": "samples/s", **agreement}),
        _cell(f"{case}: peak memory against opacus {way}", ours["peak_mb"], theirs["peak_mb"], target[1], unit="MB"),
    ]


def _cell(name: str, ours: float, peer: float, target: float | None, **extra: Any) -> Cell:
    if target is not None and ours / peer > target:
        extra["limited_by"] = next(
            reason for key, reason in LIMITS.items() if all(word in name for word in key.split())
        )
    return Cell(name, ours, peer, target, lower_is_better=True, extra=extra)
