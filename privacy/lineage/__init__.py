"""What a checkpoint's trainings have read, one after the other, and what of it a new private training must count."""

from privacy.lineage.compare import Composed, Lineage, known_history, trace, with_stage
from privacy.lineage.history import (
    Kept,
    Run,
    Stage,
    kept_bytes,
    read_history,
    read_kept,
    records_artefact,
    records_path,
)
from privacy.lineage.mechanism import mechanism_of_header, sampling_of_header
from privacy.lineage.names import LEDGER_NAME, RECORDS_NAME, earlier_ledger
from privacy.lineage.records import Records, unit_id

__all__ = [
    "LEDGER_NAME",
    "RECORDS_NAME",
    "Composed",
    "Kept",
    "Lineage",
    "Records",
    "Run",
    "Stage",
    "earlier_ledger",
    "kept_bytes",
    "known_history",
    "mechanism_of_header",
    "read_history",
    "read_kept",
    "records_artefact",
    "records_path",
    "sampling_of_header",
    "trace",
    "unit_id",
    "with_stage",
]
