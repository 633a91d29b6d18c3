"""Fine-tuning a checkpoint; the training manifest it writes is what later audits read."""

from privacy.training.records.result import TrainResult
from privacy.training.settings.spec import TrainSpec
from privacy.training.train import train

__all__ = ["TrainResult", "TrainSpec", "train"]
