"""Several processes share out what a private step keeps: sums, noise, optimizer state. Weights stay whole in each."""

from privacy.training.sharding.partition import Piece, partition
from privacy.training.sharding.refuse import check_sharding
from privacy.training.sharding.step import StateShardedOptimizer

__all__ = ["Piece", "StateShardedOptimizer", "check_sharding", "partition"]
