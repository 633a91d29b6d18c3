"""Per-sample clipping: sums of clipped gradients that Opacus' accountants and optimizers take from there."""

from __future__ import annotations

from privacy.clipping.book_keeping import BookKeepingEngine
from privacy.clipping.engine import ClippingEngine, ClippingStats
from privacy.clipping.errors import ClippingError
from privacy.clipping.losses import per_sample_loss
from privacy.clipping.make import EngineName, make_engine
from privacy.clipping.one_sample import OneSampleEngine
from privacy.clipping.rules import Adaptive, Clipping, ClippingRule

__all__ = [
    "Adaptive",
    "BookKeepingEngine",
    "Clipping",
    "ClippingEngine",
    "ClippingError",
    "ClippingRule",
    "ClippingStats",
    "EngineName",
    "OneSampleEngine",
    "make_engine",
    "per_sample_loss",
]
