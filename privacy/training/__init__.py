"""Fine-tuning a checkpoint; the training manifest it writes is what later audits read."""

from privacy.training.result import TrainResult
from privacy.training.spec import TrainSpec
from privacy.training.train import train

__all__ = ["TrainResult", "TrainSpec", "train"]
