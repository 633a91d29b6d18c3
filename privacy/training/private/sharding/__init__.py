"""Several processes share out what a private step keeps: sums, noise, optimizer state. Weights stay whole in each."""

from privacy.training.private.sharding.partition import Piece, partition
from privacy.training.private.sharding.refuse import check_sharding
from privacy.training.private.sharding.step import StateShardedOptimizer

__all__ = ["Piece", "StateShardedOptimizer", "check_sharding", "partition"]
