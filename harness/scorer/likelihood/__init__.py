"""Requests about log p of given tokens, by causal and by masked language models."""
