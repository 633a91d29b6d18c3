"""Base of pydantic models that are written to disk and decided by."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """Cannot be changed; refuses unknown keys, and numbers that are none (JSON has no word for them)."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
