"""How often a string occurs in gigabytes of text, counted exactly: suffix arrays in blocks on disk."""

from privacy.corpus.index.build import build_index
from privacy.corpus.index.coding import TEXT, Coding
from privacy.corpus.index.count import Count, Index, open_index

__all__ = ["TEXT", "Coding", "Count", "Index", "build_index", "open_index"]
