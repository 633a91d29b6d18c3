"""Who is in which logical batch, and the mechanism that the accountant reads: both from one object."""

from privacy.sampling.bins import BallsInBinsSampling
from privacy.sampling.cyclic import CyclicPoissonSampling
from privacy.sampling.errors import SamplingError
from privacy.sampling.generator import Uniforms, fresh_generator, fresh_torch_generator
from privacy.sampling.loader import LogicalBatches, LogicalBatchSampler, micro_batches
from privacy.sampling.poisson import PoissonSampling
from privacy.sampling.refuse import refuse_loader
from privacy.sampling.sampling import Sampling, check_alone
from privacy.sampling.shard import Shard
from privacy.sampling.shuffle import ShuffledOnceSampling, ShuffledSampling
from privacy.sampling.truncated import TruncatedPoissonSampling

__all__ = [
    "BallsInBinsSampling",
    "CyclicPoissonSampling",
    "LogicalBatchSampler",
    "LogicalBatches",
    "PoissonSampling",
    "Sampling",
    "SamplingError",
    "Shard",
    "ShuffledOnceSampling",
    "ShuffledSampling",
    "TruncatedPoissonSampling",
    "Uniforms",
    "check_alone",
    "fresh_generator",
    "fresh_torch_generator",
    "micro_batches",
    "refuse_loader",
]
