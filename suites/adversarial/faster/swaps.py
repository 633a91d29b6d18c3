"""TextAttack's word swaps whose replacements hang on the word alone, looked up once for all texts."""

from __future__ import annotations

import importlib
from typing import Any

from suites.adversarial.faster.memo import Memo, Same, Table, twin_of


def embedding_swap(stock: Any, memo: Memo) -> Any:
    """A WordSwapEmbedding that proposes what this one does."""
    return _looked_up_once(stock, memo.table("neighbours", Same(stock.embedding), stock.max_candidates))


def wordnet_swap(stock: Any, memo: Memo) -> Any:
    """A WordSwapWordNet that proposes what this one does, in the same order."""
    corpus = importlib.import_module(type(stock).__module__).wordnet
    return _looked_up_once(stock, memo.table("wordnet", Same(corpus), stock.language))


def _looked_up_once(stock: Any, table: Table) -> Any:
    twin = twin_of(stock)
    twin._get_replacement_words = _Replacements(stock, table)
    return twin


class _Replacements:
    """`WordSwap._get_replacement_words`."""

    def __init__(self, stock: Any, table: Table) -> None:
        self._stock = stock
        self._table = table

    def __call__(self, word: str, *_: Any, **__: Any) -> list[str]:
        found = self._table.get(word)
        if found is None:
            found = tuple(self._stock._get_replacement_words(word))
            self._table.keep(word, found)
        return list(found)
