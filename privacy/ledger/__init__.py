"""What a private run has spent, on disk before it is spent; and its state, so that it can go on."""

from privacy.ledger.chain import Chain, read_chain
from privacy.ledger.errors import LedgerError
from privacy.ledger.header import LedgerHeader
from privacy.ledger.ledger import Ledger
from privacy.ledger.state import SavedState, load_state, save_state

__all__ = ["Chain", "Ledger", "LedgerError", "LedgerHeader", "SavedState", "load_state", "read_chain", "save_state"]
