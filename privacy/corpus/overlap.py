"""Which records of an evaluation set stand in the training texts: runs of n words in common, and the same whole text.

Runs of 13 words, lower-cased and without punctuation, are what GPT-3's authors took (Brown et al. 2020, appendix C); a
share of 0.7 of a record's runs of 8 words what PaLM's did (Chowdhery et al. 2022).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from privacy.corpus.same import plain
from privacy.corpus.words import Hashes, Words, words_of

RUN = 13
MOSTLY = 0.7
"""Share of a record's runs from which it counts as seen."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """Of one evaluation set."""

    records: int
    judged: int
    """Records with at least n words."""
    touched: list[int]
    """Records of the evaluation set, by number, with a run in common."""
    mostly: int
    """Those of them with MOSTLY of their runs in common."""
    equal: int
    """Records whose whole text is a training record, but for case and white space; short ones too."""
    runs: int
    """Different runs of the evaluation set."""
    shared: int
    """Of these, in the training texts."""
    training: int
    """Training records with a run in common."""


def _digest(text: str) -> bytes:
    return blake2b(text.encode(errors="surrogatepass"), digest_size=16).digest()


class Against:
    """An evaluation set; the training texts pass by."""

    def __init__(self, texts: Iterable[Sequence[str]], size: int) -> None:
        """`texts` in batches; 8 bytes are kept for each run."""
        self._size = size
        runs: list[Hashes] = []
        records: list[NDArray[np.int64]] = []
        self._whole: Counter[bytes] = Counter()
        self._equal = 0
        count = 0
        for batch in texts:
            found, starts = words_of(batch).runs(size)
            runs.append(found)
            records.append(np.repeat(np.arange(count, count + len(batch)), np.diff(starts)))
            self._whole.update(_digest(plain(text)) for text in batch)
            count += len(batch)
        self._records = count
        self._runs = np.concatenate(runs) if runs else np.empty(0, dtype=np.uint64)
        self._record = np.concatenate(records) if records else np.empty(0, dtype=np.int64)
        self._different = np.unique(self._runs)
        self._seen = np.zeros(len(self._different), dtype=bool)
        self._training = 0

    def add(self, words: Words, plain_texts: Sequence[str]) -> None:
        """Words of some training records, and their texts made `plain`."""
        for text in plain_texts:
            self._equal += self._whole.pop(_digest(text), 0)
        runs, starts = words.runs(self._size)
        if not len(runs) or not len(self._different):
            return
        places = np.minimum(np.searchsorted(self._different, runs), len(self._different) - 1)
        here = self._different[places] == runs
        self._seen[places[here]] = True
        self._training += len(np.unique(np.searchsorted(starts, np.flatnonzero(here), side="right")))

    def result(self) -> Overlap:
        """After all training records."""
        seen = self._seen[np.searchsorted(self._different, self._runs)] if len(self._runs) else np.empty(0, dtype=bool)
        per_record = np.bincount(self._record, minlength=self._records)
        hits = np.bincount(self._record, weights=seen, minlength=self._records)
        return Overlap(
            records=self._records,
            judged=int((per_record > 0).sum()),
            touched=np.flatnonzero(hits).tolist(),
            mostly=int(((hits >= MOSTLY * per_record) & (per_record > 0)).sum()),
            equal=self._equal,
            runs=len(self._different),
            shared=int(self._seen.sum()),
            training=self._training,
        )
