"""Whether a privacy claim follows from the ledger beside the weights; both are a stranger's."""
