"""The one base of pydantic models: what a user asked for, what is written to disk, what is decided by."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """Cannot be changed; refuses unknown keys, and numbers that are none (JSON has no word for them)."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class FrozenMaybeInfinite(Frozen):
    """For what privacy claims say, where an epsilon without a bound is infinite; in JSON a text, such as "Infinity".

    NaN is let through as well: a stranger's claim that has it is read, and called doubtful, not unreadable.
    """

    model_config = ConfigDict(allow_inf_nan=True, ser_json_inf_nan="strings")
