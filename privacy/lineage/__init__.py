"""What a checkpoint's trainings have read, one after the other, and what of it a new private training must count."""

from privacy.lineage.compare import Composed, Lineage, trace, with_stage
from privacy.lineage.history import Kept, Run, Stage, read_history, read_kept, records_path, write_history, write_kept
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
    "mechanism_of_header",
    "read_history",
    "read_kept",
    "records_path",
    "sampling_of_header",
    "trace",
    "unit_id",
    "with_stage",
    "write_history",
    "write_kept",
]
