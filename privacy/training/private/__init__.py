"""Training under a guarantee: what it promises, the session that spends it, its steps, alone or shared out."""
