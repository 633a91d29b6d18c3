"""Fine-tuning a checkpoint; the training manifest it writes is what later audits read."""

from privacy.training.spec import TrainSpec
from privacy.training.train import OnStep, TrainResult, train

__all__ = ["OnStep", "TrainResult", "TrainSpec", "train"]
