"""What a text shows at a glance, as a row of numbers: words, runs of characters, length, years."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Floats = NDArray[np.float64]

_RUNS = (2, 3, 4)
_MOST_CHARACTERS = 4000
"""Of a text, for runs: what tells sources apart shows on the first page."""
_WORD = re.compile(r"\w+")
_YEAR = re.compile(r"(?<!\d)(?:19|20)\d\d(?!\d)")


def features(texts: Sequence[str]) -> sparse.csr_matrix:
    """A row for each text [n, columns]: words and runs of 2 to 4 characters by tf-idf, lengths and years standardised.

    Words and runs have length 1 each. What only one text has is left out: it tells nothing about another. No label is
    looked at, so all texts may be given before they are split.
    """
    words = _weighted([Counter(_WORD.findall(text.lower())) for text in texts])
    runs = _weighted([Counter(_runs_of(text)) for text in texts])
    plain = _standardised(np.array([_plain(text) for text in texts], dtype=np.float64).reshape(len(texts), -1))
    return sparse.csr_matrix(sparse.hstack([words, runs, sparse.csr_matrix(plain)]))


def _runs_of(text: str) -> Iterator[str]:
    text = text[:_MOST_CHARACTERS]
    for size in _RUNS:
        yield from (text[start : start + size] for start in range(len(text) - size + 1))


def _plain(text: str) -> list[float]:
    """Length in characters and words, length of words, shares of kinds of characters, years: how many, first, last."""
    words, size = _WORD.findall(text), max(1, len(text))
    years = [int(year) for year in _YEAR.findall(text)]
    kinds = (str.isdigit, str.isupper, str.isspace, str.isalnum)
    return [
        np.log1p(len(text)),
        np.log1p(len(words)),
        len(text) / max(1, len(words)),
        *(sum(map(kind, text)) / size for kind in kinds),
        text.count("\n") / size,
        np.log1p(len(years)),
        float(bool(years)),
        min(years, default=np.nan),
        max(years, default=np.nan),
    ]


def _standardised(values: Floats) -> Floats:
    """Columns of mean 0 and deviation 1; a missing value is the mean, a column without spread 0."""
    known = ~np.isnan(values)
    counts = np.maximum(known.sum(axis=0), 1)
    centred = np.where(known, values - np.where(known, values, 0.0).sum(axis=0) / counts, 0.0)
    deviation = np.sqrt((centred**2).sum(axis=0) / counts)
    return np.asarray(centred / np.where(deviation > 1e-12, deviation, 1.0), dtype=np.float64)


def _weighted(counts: Sequence[Counter[str]]) -> sparse.csr_matrix:
    """(1 + log count) * idf, rows of length 1, columns that more than one text has."""
    places: dict[str, int] = {}
    columns = np.array([places.setdefault(item, len(places)) for row in counts for item in row], dtype=np.int64)
    values = 1 + np.log(np.array([count for row in counts for count in row.values()], dtype=np.float64))
    ends = np.cumsum([0, *(len(row) for row in counts)])
    found = sparse.csr_matrix((values, columns, ends), shape=(len(counts), len(places)))
    texts_with = np.bincount(found.indices, minlength=len(places))
    shared = np.flatnonzero(texts_with > 1)
    idf = np.log((1 + len(counts)) / (1 + texts_with[shared])) + 1
    kept = sparse.csr_matrix(found[:, shared] @ sparse.diags(idf))
    norms = np.sqrt(np.asarray(kept.multiply(kept).sum(axis=1)).ravel())
    return sparse.csr_matrix(sparse.diags(1 / np.where(norms > 0, norms, 1.0)) @ kept)
