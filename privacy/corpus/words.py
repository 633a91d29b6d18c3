"""Texts as numbers: a hash for each word, and for each run of n words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
_UNSPACED = "\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W_{_UNSPACED}]+")
"""Letters and digits; a character of a script written without blanks (Thai, kana, Han, ...) is a word."""
_FACTOR = np.uint64(0x9E3779B97F4A7C15)
"""Odd, so that a word's place in a run counts; words are hashed by SipHash before."""


@dataclass(frozen=True, slots=True)
class Words:
    """Words of some texts, one after another."""

    hashes: Hashes
    """Of each word [words], the same in every run."""
    starts: NDArray[np.int64]
    """First word of each text, and the number of words at the end [texts + 1]."""

    @property
    def counts(self) -> NDArray[np.int64]:
        """Words of each text [texts]."""
        return np.diff(self.starts)

    def runs(self, size: int) -> tuple[Hashes, NDArray[np.int64]]:
        """Hashes of all runs of `size` words within a text, and where those of each text start [texts + 1]."""
        places = len(self.hashes) - size + 1
        per_text = np.maximum(self.counts - size + 1, 0)
        starts = np.concatenate([[0], np.cumsum(per_text)])
        if places <= 0:
            return np.empty(0, dtype=np.uint64), starts
        mixed = np.zeros(places, dtype=np.uint64)
        for at in range(size):
            mixed = mixed * _FACTOR + self.hashes[at : at + places]
        inside = np.zeros(len(self.hashes) + 1, dtype=np.int64)  # +1 where a text's runs begin, -1 where they end
        np.add.at(inside, self.starts[:-1], per_text > 0)
        np.add.at(inside, self.starts[:-1] + per_text, -(per_text > 0).astype(np.int64))
        return mixed[np.cumsum(inside)[:places] > 0], starts


def words_of(texts: Sequence[str]) -> Words:
    """Words of texts, whatever their case and punctuation."""
    found = [_WORD.findall(text.casefold()) for text in texts]
    starts = np.concatenate([[0], np.cumsum([len(words) for words in found])]).astype(np.int64)
    flat = np.array([word for words in found for word in words], dtype=object)
    hashes = pd.util.hash_array(flat, categorize=False) if len(flat) else np.empty(0, dtype=np.uint64)
    return Words(hashes, starts)
