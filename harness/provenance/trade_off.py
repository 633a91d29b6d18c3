"""What privacy cost over a grid of trainings, as `assay frontier` leaves it in its folder for whoever shows it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, TypeAdapter

from harness.base.frozen import FrozenMaybeInfinite
from harness.base.reading import read_record

TRADE_OFF_NAME = "frontier.json"


class Estimated(FrozenMaybeInfinite):
    """A number with its interval; None where there are too few models or examples for one."""

    value: float
    low: float | None = None
    high: float | None = None
    level: float = 0.95
    note: str = ""


class TradeOffPoint(FrozenMaybeInfinite):
    """The models of one epsilon and one mode."""

    target: float = Field(gt=0, description="epsilon asked for; inf: without privacy")
    epsilon: float = Field(ge=0, description="upper bound claimed, the largest over the seeds; inf without privacy")
    delta: float | None = None
    mode: str = Field(default="", description="what was trained of the model")
    quality: Estimated
    by_seed: dict[int, float] = Field(description="quality of the model of each seed")
    cost: Estimated | None = Field(
        default=None, description="accuracy lost to privacy, or perplexity over that without it; None: not known"
    )


class TradeOff(FrozenMaybeInfinite):
    """The content of frontier.json, made of the rows beside it."""

    version: Literal[1] = 1
    quality: str = Field(description="what is measured: accuracy, perplexity or pseudo-perplexity")
    better: Literal["higher", "lower"]
    points: tuple[TradeOffPoint, ...]
    n: int = Field(ge=0, description="held-out examples that every model was scored on")
    floor: float | None = Field(default=None, description="accuracy of always giving the commonest class")
    caption: tuple[str, ...] = Field(description="what a reader must know, a sentence each")
    failures: dict[str, str] = Field(default_factory=dict, description="model -> why it has no result")


_TRADE_OFF = TypeAdapter(TradeOff)


def read_trade_off(path: Path) -> TradeOff:
    """That of a file. Raises AuditError for a damaged one."""
    return read_record(path, _TRADE_OFF)
