"""First entry of a ledger: the run whose noisy steps it counts."""

from __future__ import annotations

from pydantic import Field

from harness.base.frozen import Frozen


class LedgerHeader(Frozen):
    """The mechanism of each step and what it is applied to; fixed before the first step."""

    run: str = Field(min_length=1, description="random id of the run")
    spec_digest: str = Field(description="sha256 of the training settings")
    data_digest: str = Field(description="content digest of the records trained on")
    base_fingerprint: str = Field(description="fingerprint of the checkpoint training started from")
    sampling: str = Field(description="label of the sampling")
    records: int = Field(ge=1, description="records of the data")
    expected_batch_size: int = Field(ge=1, description="what clipped sums are divided by, records")
    steps: int = Field(ge=1, description="noisy steps planned; no more can be spent")
    rate: float = Field(gt=0, le=1, description="probability of a record to be in a step")
    noise_multiplier: float = Field(ge=0, description="noise over max_grad_norm, as accounted")
    max_grad_norm: float = Field(gt=0, description="clipping norm, the first one when it adapts")
    clipping: str = Field(description="flat, per-layer, automatic or adaptive")
    delta: float = Field(gt=0, lt=1, description="delta of the claim")
    target_epsilon: float | None = Field(default=None, gt=0, description="what the noise was calibrated to")
    unit: str = Field(description="what the guarantee protects: record, or user by which column")
    processes: int = Field(ge=1, description="processes the run began with")
    created: str = Field(description="when, UTC, ISO 8601")
    units: int | None = Field(default=None, ge=1, description="how many units there are; null in older ledgers")
    group: int | None = Field(default=None, ge=1, description="most records of one unit; null in older ledgers")
    digest_key: str | None = Field(default=None, description="id of the key of data_digest; null: it has none")
    max_batch: int | None = Field(default=None, ge=1, description="most records of a step; null: no cap")
    noise: str = Field(default="Gaussian", description="kind of noise; older ledgers, all Gaussian, do not say so")
    bands: int | None = Field(default=None, ge=2, description="steps that noise is correlated over; null: independent")
    earlier: tuple[str, ...] = Field(default=(), description="last lines of the ledgers that the claim composes with")
