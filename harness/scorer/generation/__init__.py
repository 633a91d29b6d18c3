"""Requests for new tokens: greedy, by beams, sampled."""
