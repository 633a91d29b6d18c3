"""What a checkpoint's trainings have read, one after the other, and what of it a new private training must count."""

from privacy.lineage.compare import Composed, Lineage, trace, with_stage
from privacy.lineage.history import Kept, Run, Stage, read_history, records_path, write_history
from privacy.lineage.mechanism import mechanism_of_header, neighbours_of
from privacy.lineage.names import LEDGER_NAME, earlier_ledger
from privacy.lineage.records import Records

__all__ = [
    "LEDGER_NAME",
    "Composed",
    "Kept",
    "Lineage",
    "Records",
    "Run",
    "Stage",
    "earlier_ledger",
    "mechanism_of_header",
    "neighbours_of",
    "read_history",
    "records_path",
    "trace",
    "with_stage",
    "write_history",
]
