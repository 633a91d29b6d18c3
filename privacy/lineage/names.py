"""Names of the ledgers in a checkpoint's folder."""

from __future__ import annotations

LEDGER_NAME = "privacy_ledger.jsonl"
"""Of the run that made the weights."""

RECORDS_NAME = "records.safetensors"
"""Digests of the records that a run read: in the folder of an unfinished run, or of one that was replaced.

Of a finished one beside its checkpoint, after that one's name.
"""


def earlier_ledger(number: int | str) -> str:
    """Of the earlier training that the claim lists as its `number`-th, from 1."""
    return f"privacy_ledger.earlier-{number}.jsonl"
