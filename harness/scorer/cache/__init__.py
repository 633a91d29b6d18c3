"""Answers that are computed once: kept while an audit runs, and on disk from one to the next."""
