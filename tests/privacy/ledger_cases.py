"""A small run to keep a ledger of."""

from __future__ import annotations

from typing import Any

from privacy.ledger import LedgerHeader


def make_header(**fields: Any) -> LedgerHeader:
    values = {
        "run": "9c1f",
        "spec_digest": "a" * 64,
        "data_digest": "b" * 64,
        "base_fingerprint": "c" * 64,
        "sampling": "Poisson",
        "records": 1000,
        "expected_batch_size": 50,
        "steps": 20,
        "rate": 0.05,
        "noise_multiplier": 1.1,
        "max_grad_norm": 0.1,
        "clipping": "flat",
        "delta": 1e-5,
        "target_epsilon": 8.0,
        "unit": "record",
        "processes": 1,
        "created": "2026-01-02T03:04:05+00:00",
    }
    return LedgerHeader.model_validate({**values, **fields})
